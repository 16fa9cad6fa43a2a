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

create or replace function @extschema@.keep_dead_letter(
    subject text, payload bytea, meta jsonb, error_code text, error text
) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    insert into @extschema@.dead_letter as d (subject, payload, meta, error_code, error)
    values (
        keep_dead_letter.subject, keep_dead_letter.payload, coalesce(keep_dead_letter.meta, '{}'),
        keep_dead_letter.error_code, keep_dead_letter.error
    )
    on conflict (subject, sha256(payload)) do update set
        received_at = now(), meta = excluded.meta, error_code = excluded.error_code, error = excluded.error
$$;

comment on function @extschema@.keep_dead_letter(text, bytea, jsonb, text, text)
is 'Keeps a message that could not be applied, with its error; the same message coming again is the same dead letter.';

create or replace function @extschema@.dead_letter_trouble() returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select format('%s could not be applied (the last: %s): see @extschema@.dead_letter; SELECT '
        '@extschema@.replay_dead_letters() after the mend.',
        case count(*) when 1 then 'One message' else count(*) || ' messages' end,
        (array_agg(d.error order by d.received_at desc))[1])
    from @extschema@.dead_letter as d
    having count(*) > 0
$$;

comment on function @extschema@.dead_letter_trouble() is 'A sentence about dead letters; null when there are none.';
