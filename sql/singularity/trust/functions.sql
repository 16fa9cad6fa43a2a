-- Whose word is the authority's.

create or replace function singularity.known_key(subject text) returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$ select a.public_key from singularity.authority as a $$;

comment on function singularity.known_key(text) is 'The authority''s key, in whose name alone anything comes; null before the first welcome.';

create or replace function singularity.rejection_reason(subject text, payload bytea, meta jsonb) returns text
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    signer constant text := meta ->> 'signer';
    known constant text := singularity.known_key(subject);
    body jsonb;
begin
    if known = signer then
        return null;
    end if;
    begin
        body := singularity.decode_message(payload);
    exception when others then
        if singularity.is_transient(sqlstate) then
            raise;
        end if;
    end;
    return case
        when signer is not null then case
            -- a former key that tells those who were away what is known here
            when body ->> 'type' = 'key' and body ->> 'public_key' = known then 'known'
            when known is null then 'unknown'
            else 'key'
        end
        when known is not null or singularity.get_setting('unsigned_messages') = 'refuse' then 'unsigned'
        -- the NATS server acknowledges to whatever reply subject a message names
        when body is null then 'subject'
    end;
end
$$;

comment on function singularity.rejection_reason(text, bytea, jsonb)
is 'Why a message is not authentic, see rejection: it must be signed by the authority''s key. Null when it is; known for the word of '
'a former key that changes nothing.';

create or replace function singularity.belongs_on(subject text, body jsonb) returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    -- a dead letter of this database's own that is replayed has blanks in its subject
    select subject ~ ' ' or coalesce(subject = p.prefix || case body ->> 'type'
        when 'receipt' then '.receipt.' || (singularity.present_identity()).instance_id
        when 'heads' then '.heads'
        when 'key' then '.heads'
        when 'refined' then format('.refined.%s.%s', body ->> 'namespace', body ->> 'kind')
        else right(subject, - length(p.prefix))
    end, false)
    from (select singularity.get_setting('subject_prefix') as prefix) as p
$$;

comment on function singularity.belongs_on(text, jsonb) is 'Whether a message came on the subject of its type; one of a type not known here does on any.';

create or replace function singularity.reply_rejection_reason(message_id text, signer text) returns text
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    known constant text := singularity.known_key(null);
begin
    return case
        when known is not null and signer is null then 'unsigned'
        when known <> signer then 'key'
        when known is null and signer is null and singularity.get_setting('unsigned_messages') = 'refuse'
            then 'unsigned'
        -- the first welcome makes the authority's key known
        when known is null and signer is not null and message_id not like 'hello:%' then 'unknown'
    end;
end
$$;

comment on function singularity.reply_rejection_reason(text, text)
is 'Why a reply is not authentic, see rejection: it must be signed by the authority''s key. Null when it is.';

create or replace function singularity.note_authority_key(public_key text) returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
    update singularity.authority as a set public_key = note_authority_key.public_key
    where a.public_key is null and note_authority_key.public_key is not null
$$;

comment on function singularity.note_authority_key(text) is 'Keeps the key of the authority that is heard for the first time.';

create or replace function singularity.follow_authority_key(public_key text) returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
    with followed as (
        update singularity.authority as a set public_key = follow_authority_key.public_key
        where singularity.is_public_key(follow_authority_key.public_key)
            and a.public_key <> follow_authority_key.public_key
        returning a.only_row
    )
    -- what the new key said before it was known is no news any more
    delete from singularity.rejection as r where r.reason = 'key' and exists (select from followed)
$$;

comment on function singularity.follow_authority_key(text) is 'Takes the authority''s new key, of which a message told that its present key has signed.';

create or replace function singularity.trust_authority(public_key text) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    if trust_authority.public_key is not null then
        perform singularity.check_public_key(trust_authority.public_key);
    end if;
    insert into singularity.authority as a (public_key) values (trust_authority.public_key)
    on conflict (only_row) do update set
        public_key = excluded.public_key, welcomed_at = null, hello_sent_at = null;
    delete from singularity.rejection r where r.reason in ('key', 'unknown');
    perform singularity.ring_doorbell();
end
$$;

comment on function singularity.trust_authority(text)
is 'Says which key the authority signs with, given as its centralcloud.public_key(): before the first connection, or when it has '
'another one. Null trusts whoever welcomes this instance next. Errors: 22023 for what is no key.';

create or replace function singularity.end_key_change(public_key text) returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
    delete from singularity.signing_key as k
    where end_key_change.public_key = singularity.public_key()
        and k.signing_key_id < (select max(n.signing_key_id) from singularity.signing_key as n)
$$;

comment on function singularity.end_key_change(text)
is 'Deletes the former key when the authority says that it knows the present one, which signs from now on.';

create or replace function singularity.key_change_is_under_way() returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$ select count(*) > 1 and singularity.public_key() is not null from singularity.signing_key $$;

comment on function singularity.key_change_is_under_way() is 'Whether the authority is still to be told of a new key.';

create or replace function singularity.trust_troubles() returns text[]
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select array_remove(array[
        (
            select format('Somebody else than the authority that is known here speaks in its name, and is not heard '
                '(key %s, on %s, the last time at %s): if the authority has a new key, SELECT '
                'singularity.trust_authority(%1$L).',
                r.signer, coalesce(r.subject, '?'), r.rejected_at::timestamptz(0))
            from singularity.rejection as r
            where r.reason = 'key' and r.rejected_at > clock_timestamp() - interval '10 minutes'
        ),
        (
            select format('Messages were dropped since they are not authentic (%s of %s in all; the last at %s on %s, '
                'signed by %s): see singularity.rejection.', r.reason, r.messages, r.rejected_at::timestamptz(0),
                coalesce(r.subject, '?'), coalesce(r.signer, 'nobody'))
            from singularity.rejection as r
            where r.reason not in ('key', 'unknown') and r.rejected_at > clock_timestamp() - interval '10 minutes'
            order by r.rejected_at desc limit 1
        ),
        (
            select format('The authority does not welcome this instance: where it enrols its instances, its curator '
                'says SELECT centralcloud.enroll(%L, %L).', (singularity.present_identity()).instance_id,
                singularity.public_key())
            from singularity.authority as a, singularity.bridge_state as b, singularity.rejection as r
            where a.public_key is null and a.welcomed_at is null and r.reason = 'unknown'
                and b.connected_at < clock_timestamp() - interval '10 seconds'
                and r.rejected_at > clock_timestamp() - interval '10 seconds'
        ),
        case when singularity.get_setting('unsigned_messages') = 'accept' then
            'Messages without a signature are accepted as the authority''s until it has signed one: SELECT '
            'singularity.configure(settings => ''{"unsigned_messages": "refuse"}'') when it is of version 0.3 or later.'
        end
    ], null)
$$;

comment on function singularity.trust_troubles()
is 'Sentences about who speaks in the authority''s name without being it, and about what is accepted unsigned; empty when all is well.';
