create or replace function @extschema@.replay_dead_letters() returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    letter record;
    replayed bigint := 0;
begin
    for letter in select d.* from @extschema@.dead_letter d order by d.dead_letter_id for update skip locked loop
        delete from @extschema@.dead_letter d where d.dead_letter_id = letter.dead_letter_id;
        perform @extschema@.send_later(a.subject, a.headers, a.payload)
        from @extschema@.receive_alone(letter.subject, letter.payload, letter.meta) as a;
        if not exists (
            select from @extschema@.dead_letter d
            where d.subject = letter.subject and sha256(d.payload) = sha256(letter.payload)
        ) then
            replayed := replayed + 1;
        end if;
    end loop;
    return replayed;
end
$$;

comment on function @extschema@.replay_dead_letters()
is 'Tries every dead letter again, after a mend, and returns how many could be applied; the others stay.';

create or replace function @extschema@.discard_dead_letters(
    older_than interval default null, sender text default null
) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    discarded bigint;
begin
    delete from @extschema@.dead_letter d
    where (discard_dead_letters.older_than is null or d.received_at < now() - discard_dead_letters.older_than)
        and (
            discard_dead_letters.sender is null
            or @extschema@.letter_sender(d.subject) = discard_dead_letters.sender
        );
    get diagnostics discarded = row_count;
    delete from @extschema@.dropped_letter where discard_dead_letters.older_than is null
        and discard_dead_letters.sender is null;
    return discarded;
end
$$;

comment on function @extschema@.discard_dead_letters(interval, text)
is 'Deletes dead letters that nobody wants to have applied any more and returns how many: those received longer ago than an '
'interval, those of a sender (see dead_letters), or all, with the count of those dropped before.';

create or replace function @extschema@.letter_sender(subject text) returns text
language sql immutable parallel safe
begin atomic
    select coalesce(substring(subject from '\.contribute\.([0-9a-f-]{36})$'), '');
end;

comment on function @extschema@.letter_sender(text)
is 'The instance whose subject a message came on: its last token; empty for a subject of nobody''s.';

create or replace view @extschema@.dead_letters as
select
    d.dead_letter_id,
    d.received_at,
    @extschema@.letter_sender(d.subject) as sender,
    @extschema@.printable(d.subject, 200) as subject,
    octet_length(d.payload) as size,
    d.records,
    d.error_code,
    @extschema@.printable(d.error, 500) as error
from @extschema@.dead_letter as d;

comment on view @extschema@.dead_letters
is 'The messages that could not be applied, for people: see replay_dead_letters() and discard_dead_letters().';
comment on column @extschema@.dead_letters.dead_letter_id is 'Number of the dead letter.';
comment on column @extschema@.dead_letters.received_at is 'When it was received, the last time.';
comment on column @extschema@.dead_letters.sender is 'The instance whose subject it came on; empty for a subject of nobody''s.';
comment on column @extschema@.dead_letters.subject is 'NATS subject it came on.';
comment on column @extschema@.dead_letters.size is 'Size of what is kept of it, in bytes.';
comment on column @extschema@.dead_letters.records is 'How many of its records failed; null when it failed whole.';
comment on column @extschema@.dead_letters.error_code is 'SQLSTATE of the error.';
comment on column @extschema@.dead_letters.error is 'What was wrong with it.';

create or replace function @extschema@.keep_dead_letter(
    subject text, payload bytea, meta jsonb, error_code text, error text, records integer default null
) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    insert into @extschema@.dead_letter as d (subject, payload, meta, error_code, error, records)
    values (
        keep_dead_letter.subject, keep_dead_letter.payload, coalesce(keep_dead_letter.meta, '{}'),
        keep_dead_letter.error_code, @extschema@.printable(keep_dead_letter.error, 500), keep_dead_letter.records
    )
    on conflict (subject, sha256(payload)) do update set
        received_at = now(), meta = excluded.meta, error_code = excluded.error_code, error = excluded.error,
        records = excluded.records;
$$;

comment on function @extschema@.keep_dead_letter(text, bytea, jsonb, text, text, integer)
is 'Keeps a message that could not be applied, with its error; the same message coming again is the same dead letter. Who has kept '
'some calls drop_dead_letters().';

create or replace function @extschema@.drop_dead_letters() returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    surplus bigint;
begin
    if (
        select count(*) <= 100 and coalesce(sum(octet_length(d.payload)), 0) <= 2000000 from @extschema@.dead_letter d
    ) then
        return;
    end if;
    with kept as (
        select
            d.dead_letter_id,
            row_number() over of_sender as of_sender, sum(octet_length(d.payload)) over of_sender as sender_bytes,
            row_number() over of_all as of_all, sum(octet_length(d.payload)) over of_all as all_bytes
        from @extschema@.dead_letter d
        window
            of_sender as (
                partition by @extschema@.letter_sender(d.subject) order by d.received_at desc, d.dead_letter_id desc
            ),
            of_all as (order by d.received_at desc, d.dead_letter_id desc)
    ), deleted as (
        delete from @extschema@.dead_letter d using kept k
        where d.dead_letter_id = k.dead_letter_id and (
            k.of_sender > 100 or k.sender_bytes > 2000000 or k.of_all > 1000 or k.all_bytes > 20000000
        )
        returning d.dead_letter_id
    )
    select count(*) into surplus from deleted;
    if surplus > 0 then
        insert into @extschema@.dropped_letter as l (dropped, dropped_at) values (surplus, now())
        on conflict (only_row) do update set dropped = l.dropped + excluded.dropped, dropped_at = excluded.dropped_at;
    end if;
end
$$;

comment on function @extschema@.drop_dead_letters()
is 'Deletes the oldest dead letters beyond 100 and 2 MB of one sender, 1,000 and 20 MB of all, and counts them in dropped_letter.';

create or replace function @extschema@.dead_letter_trouble() returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select format('%s%s could not be applied (the last: %s%s): see @extschema@.dead_letters; SELECT '
        '@extschema@.replay_dead_letters() after the mend.',
        case count(*) when 1 then 'One message' else count(*) || ' messages' end,
        case
            when min(s.sender) = '' then null
            when min(s.sender) = max(s.sender) then ' of ' || min(s.sender)
            else format(' of %s instances', count(distinct s.sender))
        end,
        @extschema@.printable((array_agg(d.error order by d.received_at desc))[1], 500),
        (select format('; %s older ones were dropped', l.dropped) from @extschema@.dropped_letter as l))
    from @extschema@.dead_letter as d
    cross join lateral (select @extschema@.letter_sender(d.subject) as sender) as s
    having count(*) > 0
$$;

comment on function @extschema@.dead_letter_trouble()
is 'A sentence about dead letters, with the instance whose they are; null when there are none.';
