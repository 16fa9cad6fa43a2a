-- Signatures are made and verified by the bridge. The database keeps the keys, is told which key has signed a message
-- (meta ->> 'signer') and decides whether that one may say it: rejection_reason(), which each side has for itself.

create or replace function @extschema@.make_signing_key() returns bigint
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
    -- four times 122 random bits, which PostgreSQL takes from its strong source
    insert into @extschema@.signing_key (seed)
    select sha256(string_agg(uuid_send(gen_random_uuid()), ''::bytea)) from generate_series(1, 4)
    returning signing_key_id
$$;

comment on function @extschema@.make_signing_key() is 'Makes a key to sign with, and returns its number.';

create or replace function @extschema@.signing_keys() returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(string_agg(k.signing_key_id::text, ',' order by k.signing_key_id), '')
    from @extschema@.signing_key as k
$$;

comment on function @extschema@.signing_keys() is 'Numbers of the keys: another text when the bridge has to fetch them again.';

create or replace function @extschema@.bridge_signing_keys() returns table (signing_key_id bigint, seed bytea)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select k.signing_key_id, k.seed
    from @extschema@.signing_key as k
    -- an instance signs with the former key until the authority has taken the new one; the authority's former ones
    -- sign nothing but the word that there is a new one
    order by case when '@extension@' = 'singularity' then k.signing_key_id else - k.signing_key_id end
$$;

comment on function @extschema@.bridge_signing_keys() is 'The keys of this database for its bridge; the first one signs.';

create or replace function @extschema@.note_public_keys(public_keys jsonb) returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
    update @extschema@.signing_key as k set public_key = p.value
    from jsonb_each_text(public_keys) as p
    where k.signing_key_id = p.key::bigint and k.public_key is distinct from p.value
$$;

comment on function @extschema@.note_public_keys(jsonb) is 'Notes the public keys that the bridge computed, by number.';

create or replace function @extschema@.public_key() returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$ select k.public_key from @extschema@.signing_key as k order by k.signing_key_id desc limit 1 $$;

comment on function @extschema@.public_key()
is 'The public key of this database, as an nkey; null before its bridge ran for the first time.';

create or replace function @extschema@.rotate_key(announced boolean default true) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    new_key bigint;
begin
    if rotate_key.announced and '@extension@' = 'singularity'
        and (select count(*) from @extschema@.signing_key k) > 1 then
        raise exception using errcode = 'object_not_in_prerequisite_state',
            message = 'the authority has not taken the last new key yet',
            hint = 'Wait until it was heard, or call rotate_key(false) and have the new key enrolled by its curator.';
    end if;
    new_key := @extschema@.make_signing_key();
    if not rotate_key.announced then
        delete from @extschema@.signing_key k where k.signing_key_id <> new_key;
    end if;
    perform @extschema@.ring_doorbell();
end
$$;

comment on function @extschema@.rotate_key(boolean)
is 'Makes a new key to sign with. The old one tells the other side of it, unless announced is false: for a key that was '
'stolen, when people tell the other side, see public_key(). Errors: 55000 while an earlier change is under way.';

create or replace function @extschema@.is_public_key(text) returns boolean
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$ select coalesce($1 ~ '^U[A-Z2-7]{55}$', false) $$;

comment on function @extschema@.is_public_key(text) is 'Whether a text looks like the public key of a database.';

create or replace function @extschema@.check_public_key(public_key text) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if not @extschema@.is_public_key(check_public_key.public_key) then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('%L is not a public key', check_public_key.public_key),
            hint = 'It has 56 characters and begins with U: see public_key() in the database that it belongs to.';
    end if;
end
$$;

comment on function @extschema@.check_public_key(text) is 'Raises 22023 for what cannot be a public key.';

create or replace function @extschema@.count_rejection(
    reason text, subject text, signer text, messages bigint default 1
) returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
    insert into @extschema@.rejection as r (reason, messages, rejected_at, subject, signer)
    values (
        count_rejection.reason, count_rejection.messages, clock_timestamp(), left(count_rejection.subject, 300),
        count_rejection.signer
    )
    on conflict (reason) do update set
        messages = r.messages + excluded.messages, rejected_at = excluded.rejected_at, subject = excluded.subject,
        signer = excluded.signer
$$;

comment on function @extschema@.count_rejection(text, text, text, bigint) is 'Counts a message that is dropped since it is not authentic.';

create or replace function @extschema@.admit_messages(subjects text[], payloads bytea[], meta jsonb[]) returns integer[]
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    admitted integer[] := array[]::integer[];
    -- who speaks for the first time may speak with one key
    first_signers jsonb := '{}'::jsonb;
    reason text;
begin
    for i in 1 .. coalesce(cardinality(subjects), 0) loop
        reason := @extschema@.rejection_reason(subjects[i], payloads[i], meta[i]);
        if reason is null and @extschema@.known_key(subjects[i]) is null then
            if meta[i] ->> 'signer' <> first_signers ->> subjects[i] then
                reason := 'key';
            else
                first_signers := first_signers || jsonb_build_object(subjects[i], meta[i] -> 'signer');
            end if;
        end if;
        if reason is null then
            admitted := admitted || i;
        elsif reason <> 'known' then
            perform @extschema@.count_rejection(reason, subjects[i], meta[i] ->> 'signer');
        end if;
    end loop;
    return admitted;
end
$$;

comment on function @extschema@.admit_messages(text[], bytea[], jsonb[])
is 'Places of the messages that are authentic; the others are counted, before anything of them is read.';
