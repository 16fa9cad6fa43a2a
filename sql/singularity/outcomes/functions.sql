create or replace function singularity.record_outcome(
    kind text, name text, succeeded boolean, namespace text default 'default', variant text default null
) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    key constant record := singularity.check_key(record_outcome.namespace, record_outcome.kind, record_outcome.name);
    credited constant text := singularity.credited_variant(key.artifact_id, record_outcome.variant);
begin
    if record_outcome.succeeded is null then
        raise exception using errcode = 'null_value_not_allowed', message = 'succeeded must not be null',
            hint = 'Say true when it worked and false when it did not.';
    end if;
    if credited is null then
        raise exception using errcode = 'no_data_found',
            message = format('%s %L%s is not known here', record_outcome.kind,
                singularity.printable(record_outcome.name),
                coalesce(' of variant ' || singularity.printable(record_outcome.variant), '')),
            hint = 'Learn it, or look it up while online, before its outcomes are recorded.';
    end if;
    insert into singularity.outcome (artifact_id, namespace, kind, name, variant, incarnation, shared, succeeded)
    values (
        key.artifact_id, key.namespace, key.kind, key.name, credited, (singularity.present_identity()).incarnation,
        singularity.outcomes_may_leave(key.artifact_id) and singularity.sharing_of(key.namespace) <> 'private'
        and singularity.is_known_outside(key.artifact_id, credited), record_outcome.succeeded
    );
    if singularity.get_setting('mode') <> 'local' then
        perform singularity.ring_doorbell();
    elsif currval('singularity.version') % 256 = 0 then
        perform singularity.fold_outcomes(1024);
    end if;
end
$$;

comment on function singularity.record_outcome(text, text, boolean, text, text)
is 'Records that an artifact was used and whether it worked, for the variant given or else the one that lookup() returns '
'now. Errors: P0002 when the artifact or variant is not known here, 22004 when succeeded is null.';

create or replace function singularity.credited_variant(artifact_id uuid, variant text) returns text
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    if credited_variant.variant is null then
        return (select k.variant from singularity.known(array[credited_variant.artifact_id]) as k);
    end if;
    return (
        select h.variant from singularity.holding h
        where h.artifact_id = credited_variant.artifact_id and h.variant = credited_variant.variant
        union
        select c.variant from singularity.central_copy c
        where c.artifact_id = credited_variant.artifact_id and c.variant = credited_variant.variant
        union
        select e.variant from singularity.evidence e
        where e.artifact_id = credited_variant.artifact_id and e.variant = credited_variant.variant
    );
end
$$;

comment on function singularity.credited_variant(uuid, text)
is 'The variant that an outcome counts for: the one given when it is known here, or else the best known one; null when '
'there is none.';

create or replace function singularity.is_known_outside(artifact_id uuid, variant text) returns boolean
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return exists (
        select from singularity.holding h
        where h.artifact_id = is_known_outside.artifact_id and h.variant = is_known_outside.variant
            and h.shared and h.withdrawn_up_to < h.version
    ) or exists (
        select from singularity.central_copy c
        where c.artifact_id = is_known_outside.artifact_id and c.variant = is_known_outside.variant
    ) or exists (
        select from singularity.delivery d
        where d.artifact_id = is_known_outside.artifact_id and d.variant = is_known_outside.variant
    );
end
$$;

comment on function singularity.is_known_outside(uuid, text)
is 'Whether a variant was shared or came from the authority: outcomes of one that is private name its hash, so they stay here.';

create or replace function singularity.local_score(artifact_id uuid, variant text)
returns table (uses bigint, successes bigint, confidence double precision)
language sql stable rows 1
begin atomic
    select
        s.uses,
        s.successes,
        -- one instance is one group, whose outcomes are capped as at the authority
        singularity.wilson_lower_bound(
            s.successes::double precision * s.share,
            (s.uses - s.successes)::double precision * s.share
        )
    from (
        select
            t.uses,
            t.successes,
            least(
                1::double precision, singularity.default_group_cap() / greatest(t.uses, 1)::double precision
            ) as share
        from (
            select
                coalesce(pg_catalog.sum(c.uses), 0)::bigint as uses,
                coalesce(pg_catalog.sum(c.successes), 0)::bigint as successes
            from (
                select e.uses, e.successes from singularity.evidence as e
                where e.artifact_id = local_score.artifact_id and e.variant = local_score.variant
                union all
                select 1, o.succeeded::integer from singularity.outcome as o
                where o.artifact_id = local_score.artifact_id and o.variant = local_score.variant
            ) as c
        ) as t
    ) as s;
end;

comment on function singularity.local_score(uuid, text)
is 'Outcomes recorded here for a variant, folded or not, and the confidence that follows from them alone.';

create or replace function singularity.fold_outcomes(max_outcomes integer) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    folded bigint;
    changed uuid[];
    first_used uuid[];
    me singularity.identity;
    confirmed boolean;
begin
    -- one at a time, and only where a row that another session changed is no error
    if current_setting('transaction_isolation') <> 'read committed'
        or not singularity.try_lock('singularity.identity') then
        return 0;
    end if;
    me := singularity.present_identity();
    if me.restoring then
        return 0;
    end if;
    confirmed := me.created_at is not null and singularity.is_confirmed();
    perform singularity.make_evidence_private(
        array(select distinct t.artifact_id from (
            select o.artifact_id from singularity.outcome o order by o.version limit max_outcomes
        ) as t),
        'withdrawn'
    );
    with taken as (
        delete from singularity.outcome o where o.version in (
            select t.version from singularity.outcome t order by t.version limit max_outcomes for update skip locked
        ) returning o.*
    ), added as (
        select
            t.artifact_id, t.variant,
            -- what was recorded provisionally belongs to the incarnation that was confirmed since
            case when confirmed and t.incarnation <> all (me.past_incarnations) then me.incarnation
                else t.incarnation end as incarnation,
            t.shared and t.version > coalesce(h.withdrawn_up_to, 0) as shared,
            t.namespace, t.kind, t.name,
            count(*) as uses,
            count(*) filter (where t.succeeded) as successes,
            max(t.recorded_at) as last_used_at,
            max(t.version) as version
        from taken t
        left join lateral singularity.present_holding(t.artifact_id) as h on true
        group by 1, 2, 3, 4, 5, 6, 7
    ), stored as (
        insert into singularity.evidence as e (
            artifact_id, variant, incarnation, shared, namespace, kind, name,
            uses, successes, failures, last_used_at, version
        )
        select
            artifact_id, variant, incarnation, shared, namespace, kind, name,
            uses, successes, uses - successes, last_used_at, version
        from added
        on conflict (artifact_id, variant, incarnation, shared) do update set
            uses = e.uses + excluded.uses, successes = e.successes + excluded.successes,
            failures = e.failures + excluded.failures,
            last_used_at = greatest(e.last_used_at, excluded.last_used_at),
            -- that of the last outcome, so that a withdrawal which is not committed yet comes after it
            version = case
                when excluded.version > e.version then excluded.version
                else nextval('singularity.version')
            end
        returning e.*
    ), entries as (
        insert into singularity.outbox (version, artifact_id, variant, incarnation)
        select version, artifact_id, variant, incarnation from stored
        where shared and singularity.get_setting('mode') <> 'local'
        returning 1
    )
    select
        (select count(*) from taken),
        (select array_agg(distinct t.artifact_id) from taken t),
        array(
            select s.artifact_id from stored s join added a using (artifact_id, variant, incarnation, shared)
            where s.uses = a.uses
        )
    into folded, changed, first_used;
    perform singularity.delete_replaced_entries(changed);
    -- with its first outcome an artifact is no candidate any more, and any outcome can decide between it and a
    -- central copy
    perform singularity.index_artifacts(array(
        select unnest(first_used)
        union
        select c.artifact_id from singularity.central_copy c where c.artifact_id = any (changed)
    ));
    return folded;
end
$$;

comment on function singularity.fold_outcomes(integer)
is 'Adds the oldest outcomes up into evidence, queues what changed for the authority and returns how many were folded.';

create or replace function singularity.make_evidence_private(artifact_ids uuid[], which text) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    with private as (
        delete from singularity.evidence as e
        using unnest(artifact_ids) as a (artifact_id)
        left join lateral singularity.present_holding(a.artifact_id) as h on true
        where e.artifact_id = a.artifact_id and e.shared
            and (which is distinct from 'withdrawn' or e.version <= h.withdrawn_up_to)
        returning e.*
    )
    insert into singularity.evidence as e (
        artifact_id, variant, incarnation, shared, namespace, kind, name, uses, successes, failures, last_used_at,
        version
    )
    select
        artifact_id, variant, incarnation, false, namespace, kind, name, uses, successes, failures, last_used_at,
        version
    from private
    on conflict (artifact_id, variant, incarnation, shared) do update set
        uses = e.uses + excluded.uses, successes = e.successes + excluded.successes,
        failures = e.failures + excluded.failures,
        last_used_at = greatest(e.last_used_at, excluded.last_used_at);
$$;

comment on function singularity.make_evidence_private(uuid[], text)
is 'Turns counters of artifacts into private ones, so that what is shared afterwards starts at zero: those that were '
'withdrawn, or all (null).';
