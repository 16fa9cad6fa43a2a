create or replace function singularity.connect(mode text default 'hybrid') returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if connect.mode is null or connect.mode not in ('local', 'hybrid', 'central') then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('there is no mode %L', singularity.printable(connect.mode)),
            hint = 'Modes are: local (alone), hybrid (local first, the authority on a miss), central (local first, the '
                'authority asked as well every time).';
    end if;
    perform singularity.keep_present_identity();
    perform singularity.change_settings(jsonb_build_object('mode', connect.mode));
    if connect.mode = 'local' then
        return;
    end if;
    insert into singularity.authority as a (backfill_after) values (pg_current_xact_id())
    on conflict (only_row) do update set backfill_after = excluded.backfill_after;
    perform singularity.backfill();
    perform singularity.tell_what_leaves();
    perform singularity.ring_doorbell();
end
$$;

comment on function singularity.connect(text)
is 'Connects this instance to the authority, in mode hybrid (local first, the authority on a miss) or central (local '
'first, the authority asked as well every time), and queues everything shared that was learned before: a notice says how much '
'leaves, see sharing_preview(), and ROLLBACK keeps it here. It does not wait '
'for the bridge: see status(). Errors: 22023 for an unknown mode.';

create or replace function singularity.disconnect() returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$ select singularity.connect('local') $$;

comment on function singularity.disconnect()
is 'Back to mode local: nothing is sent or asked any more, and nothing is lost; connect() takes it up again.';

create or replace function singularity.is_online() returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select coalesce((
        select b.connected and b.seen_at > clock_timestamp() - interval '10 seconds'
            and a.heard_at > clock_timestamp() - interval '10 seconds'
        from singularity.bridge_state as b, singularity.authority as a
        where singularity.get_setting('mode') <> 'local'
    ), false)
$$;

comment on function singularity.is_online()
is 'Whether the bridge is running and connected and the authority was heard within the last 10 seconds.';

create or replace function singularity.hear_authority(epoch text) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    update singularity.authority as a set
        heard_at = clock_timestamp(),
        -- a new epoch wants a new hello
        welcomed_at = case when a.epoch = hear_authority.epoch then a.welcomed_at end,
        changes_known = case when a.epoch = hear_authority.epoch then a.changes_known end,
        heads_asked_at = case when a.epoch = hear_authority.epoch then a.heads_asked_at end,
        epoch = hear_authority.epoch;
$$;

comment on function singularity.hear_authority(text) is 'Notes that the authority was heard just now, and its epoch.';

create or replace function singularity.is_paused() returns boolean
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
    select coalesce((
        select clock_timestamp() between a.paused_until - interval '1 minute' and a.paused_until
        from singularity.authority as a
    ), false)
$$;

comment on function singularity.is_paused()
is 'Whether nothing is to be asked for a while but questions and hellos, since the authority was asked too much.';
