create or replace function singularity.hello_is_due() returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select from singularity.authority as a, singularity.bridge_state as b
        where (
            coalesce(a.welcomed_at not between b.connected_at and clock_timestamp(), true)
            or not singularity.is_confirmed()
        ) and (a.hello_sent_at < b.connected_at or singularity.is_over(a.hello_sent_at, '2 seconds'))
        -- whether the twin is gone
        or a.twin_at is not null and singularity.is_over(a.hello_sent_at, '10 seconds')
        or singularity.is_over(a.hello_sent_at, '2 seconds') and (
            singularity.key_change_is_under_way()
            -- an authority that spoke unsigned begins to sign: its welcome makes its key known
            or a.public_key is null and exists (
                select from singularity.rejection as r where r.reason = 'unknown' and r.rejected_at > a.welcomed_at
            )
        )
    )
$$;

comment on function singularity.hello_is_due() is 'Whether a hello is to be said: to a new connection or a new epoch, and again until it is answered.';

create or replace function singularity.next_hello() returns table (message_id text, payload bytea)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    request constant text := gen_random_uuid();
begin
    if not singularity.hello_is_due() then
        return;
    end if;
    update singularity.authority as a set
        hello_sent_at = clock_timestamp(),
        stream_awaited = case when a.hello_sent_at is null or a.hello_sent_at < b.connected_at
            or a.stream_awaited is null
            then (b.streams -> singularity.stream_name() ->> 'last_sequence')::bigint else a.stream_awaited end
    from singularity.bridge_state as b;
    return query
    select 'hello:' || request,
        singularity.encode_message(singularity.request('hello', request) || jsonb_build_object(
        'instance_name', singularity.instance_name(),
        'environment', singularity.get_setting('environment'), 'incarnation', i.incarnation,
        'extension_version', '@version@', 'greatest_version', s.last_value, 'public_key', singularity.public_key(),
        'seals', true
    ))
    from singularity.present_identity() as i, singularity.version as s;
end
$$;

comment on function singularity.next_hello() is 'A hello to the authority when one is due.';

create or replace function singularity.apply_welcome(body jsonb) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    update singularity.authority set welcomed_at = clock_timestamp();
    perform singularity.confirm_identity(singularity.number_in(body, 'known_version')),
        singularity.hear_heads(body -> 'heads'),
        singularity.want_comparison(), singularity.end_key_change(body ->> 'public_key');
    if (body ->> 'retry_refused')::boolean then
        perform singularity.retry_refused();
    end if;
end
$$;

comment on function singularity.apply_welcome(jsonb)
is 'Takes the authority''s answer to a hello: the greatest version and the key that it knows of this instance, and heads.';

create or replace function singularity.hear_of_twin(twin boolean) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    update singularity.authority as a set twin_at = case when hear_of_twin.twin then clock_timestamp() end
    where hear_of_twin.twin is distinct from (a.twin_at is not null) and hear_of_twin.twin is not null;
$$;

comment on function singularity.hear_of_twin(boolean) is 'Notes whether the authority hears two databases speak as this instance.';

create or replace function singularity.stream_is_passed() returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select coalesce((
        select a.stream_created is distinct from b.streams -> singularity.stream_name() ->> 'created'
            or a.stream_passed >= a.stream_awaited
        from singularity.authority as a, singularity.bridge_state as b
    ), true)
$$;

comment on function singularity.stream_is_passed()
is 'Whether the authority has read everything that was in the stream when this connection began.';
