create or replace function centralcloud.refresh_artifacts(artifact_ids uuid[]) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    -- one session at a time computes an artifact anew, and the later one sees what the earlier one stored
    perform from centralcloud.artifact as a
    where a.artifact_id = any (artifact_ids) order by a.artifact_id for no key update;
    perform centralcloud.refresh_variants(artifact_ids), centralcloud.choose_winners(artifact_ids);
end
$$;

comment on function centralcloud.refresh_artifacts(uuid[])
is 'Computes variants, scores and winners of artifacts anew from what instances said; what changed is to be published.';

create or replace function centralcloud.refresh_variants(artifact_ids uuid[]) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    thresholds jsonb := centralcloud.get_setting('level_thresholds')::jsonb;
begin
    with contributed as (
        select
            c.artifact_id, c.variant,
            (array_agg(c.summary order by length(c.summary) desc, c.summary) filter (where c.summary is not null))[1]
                as summary,
            count(*) filter (where h.variant = c.variant) as holders
        from centralcloud.contribution c
        join centralcloud.holding h using (artifact_id, instance_id)
        join centralcloud.instance i using (instance_id)
        where c.artifact_id = any (artifact_ids) and c.version > h.withdrawn_up_to and not i.blocked
        group by c.artifact_id, c.variant
    ), tagged as (
        select c.artifact_id, c.variant, array_agg(distinct t.tag order by t.tag) as tags
        from centralcloud.contribution c
        join centralcloud.holding h using (artifact_id, instance_id)
        join centralcloud.instance i using (instance_id)
        cross join lateral unnest(c.tags) as t (tag)
        where c.artifact_id = any (artifact_ids) and c.version > h.withdrawn_up_to and not i.blocked
        group by c.artifact_id, c.variant
    ), present as (
        select
            artifact_id, variant, t.variant is not null as contributed, t.summary, coalesce(l.tags, '{}') as tags,
            coalesce(t.holders, 0) as holders, coalesce(s.uses, 0) as uses, coalesce(s.successes, 0) as successes,
            coalesce(s.failures, 0) as failures, s.last_used_at, coalesce(s.groups, 0) as groups,
            coalesce(s.confidence, 0) as confidence
        from contributed t
        full join centralcloud.scores(artifact_ids) as s using (artifact_id, variant)
        left join tagged l using (artifact_id, variant)
    ), updated as (
        update centralcloud.variant v set
            content = case when p.contributed then v.content end,
            summary = p.summary, tags = p.tags, holders = p.holders, uses = p.uses, successes = p.successes,
            failures = p.failures, last_used_at = p.last_used_at, groups = p.groups, confidence = p.confidence,
            level = centralcloud.level_of(p.confidence, p.groups, thresholds)
        from present p
        where v.artifact_id = p.artifact_id and v.variant = p.variant
    )
    delete from centralcloud.variant v
    where v.artifact_id = any (artifact_ids)
        and not exists (select from present p where p.artifact_id = v.artifact_id and p.variant = v.variant);
end
$$;

comment on function centralcloud.refresh_variants(uuid[])
is 'Computes the variants of artifacts anew. A variant that no state refers to any more goes, and so does content that '
'nobody who contributed it still shares.';

create or replace function centralcloud.choose_winners(artifact_ids uuid[]) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    changed uuid[];
begin
    with winner as (
        select distinct on (v.artifact_id) v.*
        from centralcloud.variant v
        where v.artifact_id = any (artifact_ids) and v.content is not null and v.level <> 'retracted'
        order by v.artifact_id, v.pinned desc, v.level desc, v.confidence desc, v.uses desc,
            v.last_used_at desc nulls last, v.holders desc, v.variant
    ), updated as (
        update centralcloud.artifact a set
            variant = w.variant, summary = w.summary, tags = coalesce(w.tags, '{}'), holders = coalesce(w.holders, 0),
            uses = coalesce(w.uses, 0), successes = coalesce(w.successes, 0), failures = coalesce(w.failures, 0),
            last_used_at = w.last_used_at, confidence = coalesce(w.confidence, 0),
            level = coalesce(w.level, 'candidate'), pinned = coalesce(w.pinned, false), version = a.version + 1
        from unnest(artifact_ids) as i (artifact_id)
        left join winner w using (artifact_id)
        where a.artifact_id = i.artifact_id
            and (
                a.variant, a.summary, a.tags, a.holders, a.uses, a.successes, a.last_used_at, a.confidence, a.level,
                a.pinned
            ) is distinct from (
                w.variant, w.summary, coalesce(w.tags, '{}'), coalesce(w.holders, 0), coalesce(w.uses, 0),
                coalesce(w.successes, 0), w.last_used_at, coalesce(w.confidence, 0), coalesce(w.level, 'candidate'),
                coalesce(w.pinned, false)
            )
        returning a.artifact_id
    )
    select array_agg(u.artifact_id) into changed from updated u;
    if changed is not null then
        insert into centralcloud.unpublished (artifact_id) select unnest(changed) on conflict do nothing;
        perform centralcloud.index_artifacts(changed);
    end if;
end
$$;

comment on function centralcloud.choose_winners(uuid[])
is 'Makes the best variant of each artifact its winner: pinned, then level, confidence, uses, recency, the number of its '
'holders (so a changed content follows the old one that nobody holds any more), hash. What changed is indexed and waits '
'to be published.';

create or replace function centralcloud.level_of(confidence double precision, groups bigint, thresholds jsonb)
returns centralcloud.level
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(
        (
            select max(t.key::centralcloud.level)
            from jsonb_each(thresholds) as t
            where groups >= (t.value ->> 'groups')::bigint
                and confidence >= (t.value ->> 'confidence')::double precision
        ),
        case when groups > 0 then 'low' else 'candidate' end::centralcloud.level
    )
$$;

comment on function centralcloud.level_of(double precision, bigint, jsonb)
is 'Level of a variant from its confidence and the number of independent groups with outcomes: the greatest one whose '
'thresholds are met, else low; candidate without any outcome.';

create or replace function centralcloud.scores(artifact_ids uuid[])
returns table (
    artifact_id uuid, variant text, uses bigint, successes bigint, failures bigint, last_used_at timestamptz,
    groups bigint, confidence double precision
)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    group_cap double precision := centralcloud.get_setting('group_cap')::double precision;
    weights jsonb := centralcloud.get_setting('environment_weights')::jsonb;
    half_life double precision := extract(epoch from centralcloud.get_setting('half_life')::interval);
    as_of timestamptz := centralcloud.get_setting('scored_as_of')::timestamptz;
begin
    return query
    with live as (
        select
            e.*, i.group_name,
            i.trust * coalesce((weights ->> i.environment)::double precision, 1)
                -- after 100 half-lives nothing is left, and smaller numbers would underflow
                * power(
                    0.5, least(coalesce(greatest(extract(epoch from as_of - e.last_used_at), 0), 0) / half_life, 100)
                )
                as weight
        from centralcloud.evidence e
        join centralcloud.instance i using (instance_id)
        left join centralcloud.holding h using (artifact_id, instance_id)
        where e.artifact_id = any (artifact_ids) and not i.blocked and i.retired_at is null
            and e.version > coalesce(h.withdrawn_up_to, 0)
    ), by_group as (
        select
            l.artifact_id, l.variant, l.group_name,
            sum(l.uses)::bigint as uses, sum(l.successes)::bigint as successes, sum(l.failures)::bigint as failures,
            max(l.last_used_at) as last_used_at,
            -- in the order of the key, so that the sum of floats is the same in any order of messages
            sum(l.successes * l.weight order by l.instance_id, l.incarnation) as weighted_successes,
            sum(l.failures * l.weight order by l.instance_id, l.incarnation) as weighted_failures,
            least(1, group_cap / greatest(sum(l.uses), 1)) as scale
        from live l
        group by l.artifact_id, l.variant, l.group_name
    )
    select
        g.artifact_id, g.variant, sum(g.uses)::bigint, sum(g.successes)::bigint, sum(g.failures)::bigint,
        max(g.last_used_at), count(*) filter (where g.uses > 0),
        centralcloud.wilson_lower_bound(
            sum(g.weighted_successes * g.scale order by g.group_name),
            sum(g.weighted_failures * g.scale order by g.group_name)
        )
    from by_group g
    group by g.artifact_id, g.variant;
end
$$;

comment on function centralcloud.scores(uuid[])
is 'Outcomes and confidence of each variant: the counts of a group are capped at group_cap and weighted by environment, '
'trust and, by half_life, how long before scored_as_of it was last used. What is withdrawn or of a blocked or retired '
'instance does not count.';

create or replace function centralcloud.rescore(as_of timestamptz default now()) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform centralcloud.change_settings(jsonb_build_object('scored_as_of', as_of));
    insert into centralcloud.unscored (artifact_id)
    select distinct e.artifact_id from centralcloud.evidence as e
    on conflict do nothing;
end
$$;

comment on function centralcloud.rescore(timestamptz)
is 'Computes the decay of outcomes for another time: sets scored_as_of and queues every artifact with outcomes; the bridge '
'scores them in the background. It does this by itself once a day.';

create or replace function centralcloud.score_queued(max_artifacts integer) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    taken uuid[];
begin
    with deleted as (
        delete from centralcloud.unscored u where u.artifact_id in (
            select q.artifact_id from centralcloud.unscored q limit max_artifacts for update skip locked
        ) returning u.artifact_id
    )
    select array_agg(d.artifact_id) into taken from deleted d;
    if taken is not null then
        perform centralcloud.refresh_artifacts(taken);
    end if;
end
$$;

comment on function centralcloud.score_queued(integer) is 'Scores some of the artifacts that wait for it.';

create or replace function centralcloud.index_artifacts(
    artifact_ids uuid[], again boolean default false, changed boolean default true
) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return centralcloud.index_documents(array(
        select centralcloud.to_searchable(
            artifact_id => i.artifact_id, version => coalesce(a.version, 0), namespace => a.namespace, kind => a.kind,
            name => case when v.variant is not null then a.name end, summary => a.summary, tags => a.tags,
            level => a.level, content => v.content
        )
        from unnest(artifact_ids) as i (artifact_id)
        left join centralcloud.artifact as a using (artifact_id)
        left join centralcloud.variant as v using (artifact_id, variant)
    ), again, changed);
end
$$;

comment on function centralcloud.index_artifacts(uuid[], boolean, boolean)
is 'Makes the documents of artifacts those of their winners; those that have not changed only if again. See index_documents().';
