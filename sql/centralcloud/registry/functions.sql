-- Who may speak as which instance, and whose word that is.

create or replace function centralcloud.known_key(subject text) returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select i.public_key from centralcloud.instance as i where i.instance_id = centralcloud.subject_instance(subject)
$$;

comment on function centralcloud.known_key(text)
is 'The public key of the instance in whose name a message came; null when none is known yet.';

create or replace function centralcloud.enrolment() returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(
        centralcloud.get_setting('enrolment'),
        (select 'required' from centralcloud.bridge_state as b where b.remote),
        'open'
    )
$$;

comment on function centralcloud.enrolment()
is 'Whether enrolment is open or required: the setting, else required when the NATS server is beyond this machine, where anybody may be.';

create or replace function centralcloud.rejection_reason(subject text, payload bytea, meta jsonb) returns text
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    signer constant text := meta ->> 'signer';
    speaker constant uuid := centralcloud.subject_instance(subject);
    known constant centralcloud.instance := (
        select i from centralcloud.instance i where i.instance_id = speaker
    );
begin
    return case
        when speaker is null then 'subject'
        when known.retired_at is not null then 'retired'
        -- who has a key never speaks without it, or anybody could speak as an older version does
        when known.public_key is not null and signer is null then 'unsigned'
        when known.public_key is not null and signer not in (known.public_key, coalesce(known.former_key, ''))
            then 'key'
        when known.public_key is not null then null
        -- one that was heard before the upgrade has no key yet that could be enrolled
        when signer is null and known.instance_id is not null and known.enrolled_at is null
            and centralcloud.get_setting('unsigned_messages') = 'accept' then null
        when centralcloud.enrolment() = 'required' then 'unknown'
        when signer is null and centralcloud.get_setting('unsigned_messages') = 'refuse' then 'unsigned'
    end;
end
$$;

comment on function centralcloud.rejection_reason(text, bytea, jsonb)
is 'Why a message is not authentic, see rejection: it must be signed by a key of the instance in whose name it came. Null when it is.';

create or replace function centralcloud.is_own_inbox(reply text, speaker uuid) returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(
        starts_with(reply, format('%s.inbox.%s.', centralcloud.get_setting('subject_prefix'), speaker)), false
    )
$$;

comment on function centralcloud.is_own_inbox(text, uuid)
is 'Whether a reply subject lies in the inbox of an instance. The authority may publish anywhere: whoever could name another '
'subject would publish there with its rights.';

create or replace function centralcloud.note_signers(speakers uuid[], meta jsonb[]) returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
    update centralcloud.instance as i set
        public_key = s.signer,
        enrolled_at = coalesce(i.enrolled_at, now()),
        former_key = null
    from (
        select distinct m.speaker, m.meta ->> 'signer' as signer
        from unnest(speakers, meta) as m (speaker, meta)
        where m.meta ->> 'signer' is not null
    ) as s
    where i.instance_id = s.speaker
        and (i.public_key is null or i.public_key = s.signer and i.former_key is not null)
$$;

comment on function centralcloud.note_signers(uuid[], jsonb[])
is 'Keeps the key of an instance that was heard for the first time, and ends the time in which its former one is good as well.';

create or replace function centralcloud.note_new_key(speaker uuid, signer text, new_key text) returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    present text;
begin
    if centralcloud.is_public_key(note_new_key.new_key) then
        update centralcloud.instance i set
            former_key = i.public_key, public_key = note_new_key.new_key, enrolled_at = now()
        where i.instance_id = note_new_key.speaker and i.public_key = note_new_key.signer
            and i.public_key <> note_new_key.new_key;
    end if;
    select i.public_key into present from centralcloud.instance i where i.instance_id = note_new_key.speaker;
    return present;
end
$$;

comment on function centralcloud.note_new_key(uuid, text, text)
is 'Takes the new key of an instance from a hello that its present key has signed, and returns the key that is known then. The '
'former one is good until the new one was heard.';

create or replace function centralcloud.enroll(
    instance_id uuid, public_key text, group_name text default null, instance_name text default null
) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    if enroll.instance_id is null then
        raise exception using errcode = 'null_value_not_allowed', message = 'an instance is enrolled by its id',
            hint = 'See instance_id in its singularity.status().';
    end if;
    perform centralcloud.check_public_key(enroll.public_key);
    insert into centralcloud.instance as i (
        instance_id, instance_name, environment, group_name, public_key, enrolled_at, enrolled_by
    )
    values (
        enroll.instance_id, coalesce(enroll.instance_name, enroll.instance_id::text), 'dev',
        coalesce(enroll.group_name, enroll.instance_id::text), enroll.public_key, now(), session_user
    )
    on conflict (instance_id) do update set
        public_key = excluded.public_key, former_key = null, enrolled_at = excluded.enrolled_at,
        enrolled_by = excluded.enrolled_by,
        group_name = coalesce(enroll.group_name, i.group_name),
        instance_name = coalesce(enroll.instance_name, i.instance_name),
        blocked = i.blocked and i.retired_at is null, retired_at = null, retired_because = null;
    perform centralcloud.queue_all(enroll.instance_id);
end
$$;

comment on function centralcloud.enroll(uuid, text, text, text)
is 'Says which key an instance signs with, given as its singularity.public_key(), before it speaks for the first time or in place '
'of the key that is known; group and name stay where they are null. A retired instance is back with it. Errors: 22004, and '
'22023 for what is no key.';

create or replace function centralcloud.retire_instance(
    instance_id uuid, keep boolean default true, reason text default null
) returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    update centralcloud.instance i set
        retired_at = now(), retired_because = retire_instance.reason,
        blocked = i.blocked or not coalesce(retire_instance.keep, true)
    where i.instance_id = retire_instance.instance_id and i.retired_at is null;
    if not found then
        return false;
    end if;
    perform centralcloud.queue_all(retire_instance.instance_id);
    return true;
end
$$;

comment on function centralcloud.retire_instance(uuid, boolean, text)
is 'Ends an instance, with the reason for people: its outcomes count no more, its messages are refused, and what it taught stays or '
'goes (keep). Returns false when there is none or it is retired already. enroll() takes it back.';

create or replace function centralcloud.queue_all(instance_id uuid) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    insert into centralcloud.unscored (artifact_id)
    select e.artifact_id from centralcloud.evidence as e where e.instance_id = queue_all.instance_id
    union
    select c.artifact_id from centralcloud.contribution as c where c.instance_id = queue_all.instance_id
    on conflict do nothing;
$$;

comment on function centralcloud.queue_all(uuid)
is 'Queues everything that an instance said something of, since that has another weight now.';

create or replace function centralcloud.registry_troubles() returns text[]
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select array_remove(array[
        (
            select 'Whoever speaks first in the name of an instance is believed, and NATS is not on this machine only: '
                'SELECT centralcloud.configure(''{"enrolment": "required"}''), and enroll() each instance.'
            from centralcloud.bridge_state as b where b.remote and centralcloud.enrolment() = 'open'
        ),
        case when centralcloud.get_setting('unsigned_messages') = 'accept' then
            'Messages without a signature are accepted of instances that never signed one: SELECT '
            'centralcloud.configure(''{"unsigned_messages": "refuse"}'') when all are of version 0.3 or later.'
        end,
        (
            select format('Messages were dropped since they are not authentic (%s of %s in all; the last at %s on %s, '
                'signed by %s): see centralcloud.rejection%s.', r.reason, r.messages,
                r.rejected_at::timestamptz(0), coalesce(r.subject, '?'), coalesce(r.signer, 'nobody'),
                case
                    when r.reason in ('key', 'unknown', 'unsigned')
                        then ', and SELECT centralcloud.enroll(…) where an instance has another key than the registry'
                    when r.reason = 'retired' then ': who was retired still speaks, load nats_permissions() again'
                    else ''
                end)
            from centralcloud.rejection as r
            where r.rejected_at > clock_timestamp() - interval '10 minutes'
            order by r.rejected_at desc limit 1
        )
    ], null)
$$;

comment on function centralcloud.registry_troubles() is 'Sentences about who speaks without right, and about what is accepted unsigned; empty when all is well.';
