-- What only the authority has of this instance, since the database was restored from an earlier time.

create or replace function singularity.restore_states(records jsonb) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    given singularity.wire_record[] := array[]::singularity.wire_record[];
    one jsonb;
    state singularity.wire_record;
begin
    for one in select r.value from jsonb_array_elements(records) as r loop
        state := singularity.own_record(one);
        if state.version is not null then
            given := given || state;
        end if;
    end loop;
    update singularity.reconciliation set
        restored = restored + cardinality(given),
        ignored = ignored + coalesce(jsonb_array_length(records), 0) - cardinality(given);
    if cardinality(given) = 0 then
        return;
    end if;
    perform singularity.restore_holdings(given), singularity.restore_evidence(given);
    insert into singularity.delivery as d (
        artifact_id, variant, incarnation, offered_version, confirmed_version, stored_version, verdict, confirmed_at
    )
    select distinct on (1, 2, 3)
        singularity.artifact_id(g.namespace, g.kind, g.name),
        case when g.record_type = 'evidence' then g.variant else '' end,
        case when g.record_type = 'evidence' then g.incarnation else '00000000-0000-0000-0000-000000000000' end,
        g.version, g.version, g.version, 'stored', clock_timestamp()
    from unnest(given) as g
    order by 1, 2, 3, g.version desc
    on conflict (artifact_id, variant, incarnation) do update set
        offered_version = greatest(d.offered_version, excluded.offered_version),
        confirmed_version = excluded.confirmed_version, stored_version = excluded.stored_version,
        verdict = excluded.verdict, reason = null, confirmed_at = excluded.confirmed_at;
    perform setval('singularity.version', greatest(s.last_value, (select max(g.version) from unnest(given) as g)))
    from singularity.version as s;
    perform singularity.index_artifacts(array(
        select distinct singularity.artifact_id(g.namespace, g.kind, g.name) from unnest(given) as g
    ));
end
$$;

comment on function singularity.restore_states(jsonb)
is 'Stores states of this instance that only the authority has: of an incarnation after the dump or backup that was restored here. '
'What this instance did not say itself, or what it does not share, is left alone and counted.';

create or replace function singularity.own_record(given jsonb) returns singularity.wire_record
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    state constant singularity.wire_record := singularity.read_record(given);
    refusal singularity.refusal;
begin
    refusal := case
        -- the authority keeps the content of nobody whom it does not hear
        when state.record_type = 'holding' and state.content is null then coalesce(
            singularity.key_refusal(state.namespace, state.kind, state.name), singularity.version_refusal(state.version)
        )
        else singularity.record_refusal(state)
    end;
    if refusal.reason is not null or coalesce(state.seal <> singularity.seal_of(state), true) or exists (
        select from singularity.present_holding(
            singularity.artifact_id(state.namespace, state.kind, state.name)
        ) as h
        where not h.shared
    ) then
        return null;
    end if;
    return state;
exception when data_exception or program_limit_exceeded then
    return null;
end
$$;

comment on function singularity.own_record(jsonb)
is 'A state that the authority gives back, when it is valid, bears a seal of this instance, and its artifact is not kept unshared '
'here; otherwise null.';

create or replace function singularity.restore_holdings(given singularity.wire_record[]) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    -- what was withdrawn may have been unshared only: its content stays here and is not shared
    insert into singularity.holding (
        artifact_id, version, namespace, kind, name, variant, content, summary, tags, shared, withdrawn_up_to
    )
    select
        i.artifact_id, g.version, g.namespace, g.kind, g.name,
        case when s.live then g.variant else old.variant end,
        case when s.live then g.content else old.content end,
        case when s.live then g.summary else old.summary end,
        coalesce(case when s.live then g.tags else old.tags end, '{}'),
        s.live or old.variant is null, coalesce(g.withdrawn_up_to, 0)
    from unnest(given) as g
    cross join lateral (select singularity.artifact_id(g.namespace, g.kind, g.name) as artifact_id) as i
    cross join lateral (select coalesce(g.withdrawn_up_to, 0) < g.version and g.content is not null as live) as s
    left join lateral singularity.present_holding(i.artifact_id) as old on true
    where g.record_type = 'holding'
    on conflict do nothing;
$$;

comment on function singularity.restore_holdings(singularity.wire_record[]) is 'Stores holdings that only the authority has.';

create or replace function singularity.restore_evidence(given singularity.wire_record[]) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    -- counted in what is restored
    delete from singularity.outcome as o
    using unnest(given) as g
    where g.record_type = 'evidence' and o.artifact_id = singularity.artifact_id(g.namespace, g.kind, g.name)
        and o.variant = g.variant and o.incarnation = g.incarnation and o.version < g.version and o.shared;
    insert into singularity.evidence as e (
        artifact_id, variant, incarnation, shared, namespace, kind, name, uses, successes, failures, last_used_at,
        version
    )
    select
        singularity.artifact_id(g.namespace, g.kind, g.name), g.variant, g.incarnation, true, g.namespace, g.kind,
        g.name,
        g.uses, g.successes, g.failures, least(g.last_used_at, now()), g.version
    from unnest(given) as g
    where g.record_type = 'evidence'
    on conflict (artifact_id, variant, incarnation, shared) do update set
        uses = excluded.uses, successes = excluded.successes, failures = excluded.failures,
        last_used_at = excluded.last_used_at, version = excluded.version
    where e.version < excluded.version;
$$;

comment on function singularity.restore_evidence(singularity.wire_record[]) is 'Stores counters that only the authority has.';
