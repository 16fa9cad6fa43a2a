create or replace function centralcloud.refresh_artifacts(artifact_ids uuid[]) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    -- one session at a time computes an artifact anew, and the later one sees what the earlier one stored
    perform from centralcloud.artifact as a
    where a.artifact_id = any (artifact_ids) order by a.artifact_id for no key update;
    perform centralcloud.note_active_groups(artifact_ids), centralcloud.refresh_variants(artifact_ids),
        centralcloud.choose_winners(artifact_ids);
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
    thresholds constant jsonb := centralcloud.get_setting('level_thresholds')::jsonb;
    new_group_trust constant double precision := centralcloud.get_setting('new_group_trust')::double precision;
begin
    with voice as materialized (
        select v.* from centralcloud.voices(artifact_ids) as v
    ), score as (
        select
            v.artifact_id, v.variant, sum(v.uses)::bigint as uses, sum(v.successes)::bigint as successes,
            sum(v.failures)::bigint as failures, max(v.last_used_at) as last_used_at, max(v.spoken) as groups,
            count(*) filter (where v.weight > 0 and v.rate >= 0.5) as vouching,
            sum(v.weight order by v.group_name) as weight,
            sum(v.weight * v.rate order by v.group_name) filter (where v.left_out is null) as works,
            sum(v.weight * (1 - v.rate) order by v.group_name) filter (where v.left_out is null) as fails,
            max(v.spoken) > 2 * max(v.hostile) as enough,
            max(v.spoken) - max(v.hostile) as independent
        from voice v
        group by v.artifact_id, v.variant
    ), supported as materialized (
        -- which summary and tags each group gave it
        select c.artifact_id, c.variant, c.summary, c.tags, i.group_name, bool_or(h.variant = c.variant) as held
        from centralcloud.contribution c
        join centralcloud.holding h using (artifact_id, instance_id)
        join centralcloud.instance i using (instance_id)
        where c.artifact_id = any (artifact_ids) and c.version > h.withdrawn_up_to and not i.blocked
        group by c.artifact_id, c.variant, c.summary, c.tags, i.group_name
    ), contributed as (
        select s.artifact_id, s.variant, count(distinct s.group_name) filter (where s.held) as holders
        from supported s
        group by s.artifact_id, s.variant
    ), label_voice as (
        select
            s.*, coalesce(v.weight, 0) as weight, coalesce(r.trust, new_group_trust) as trust, n.hostile,
            row_number() over (
                partition by s.artifact_id, s.variant, s.summary, s.tags
                order by coalesce(v.weight, 0) desc, s.group_name
            ) as place
        from supported s
        join centralcloud.hostile_groups(artifact_ids) as n using (artifact_id)
        left join voice v using (artifact_id, variant, group_name)
        left join centralcloud.reputation r using (group_name)
    ), label as (
        -- praise that may be hostile makes no summary either: the strongest voices are left out, then trust decides
        select distinct on (l.artifact_id, l.variant) l.artifact_id, l.variant, l.summary, l.tags
        from label_voice l
        group by l.artifact_id, l.variant, l.summary, l.tags
        order by l.artifact_id, l.variant,
            coalesce(sum(l.weight order by l.group_name) filter (where l.place > l.hostile), 0) desc,
            max(l.trust) desc, sum(l.weight order by l.group_name) desc, min(l.group_name), l.summary, l.tags
    ), present as (
        select
            artifact_id, variant, c.variant is not null as contributed, l.summary, coalesce(l.tags, '{}') as tags,
            coalesce(c.holders, 0) as holders, coalesce(s.uses, 0) as uses, coalesce(s.successes, 0) as successes,
            coalesce(s.failures, 0) as failures, s.last_used_at, coalesce(s.groups, 0) as groups,
            coalesce(s.vouching, 0) as vouching, coalesce(s.weight, 0) as weight,
            coalesce(
                centralcloud.wilson_lower_bound(s.works, s.fails) / case when s.enough then 1 else 2 end, 0
            ) as confidence,
            -- where all that have spoken may be hostile nobody counts
            case when s.groups > 0 then case when s.enough then s.independent else 0 end end as independent
        from contributed c
        full join score s using (artifact_id, variant)
        left join label l using (artifact_id, variant)
    ), updated as (
        update centralcloud.variant v set
            content = case when p.contributed then v.content end,
            summary = p.summary, tags = p.tags, holders = p.holders, uses = p.uses, successes = p.successes,
            failures = p.failures, last_used_at = p.last_used_at, groups = p.groups, vouching = p.vouching,
            weight = p.weight, confidence = p.confidence,
            level = centralcloud.level_of(p.confidence, p.independent, thresholds)
        from present p
        where v.artifact_id = p.artifact_id and v.variant = p.variant
    )
    delete from centralcloud.variant v
    where v.artifact_id = any (artifact_ids)
        and not exists (select from present p where p.artifact_id = v.artifact_id and p.variant = v.variant);
end
$$;

comment on function centralcloud.refresh_variants(uuid[])
is 'Computes the variants of artifacts anew, from voices(): confidence is the lower bound of Wilson''s interval of the mean of the '
'voices that are not left out, half of it where too few have spoken. Of the summaries and tags those win that most weight stands '
'behind, without the strongest voices that may be hostile; then those of the group that is trusted most. A variant that no state '
'refers to any more goes, and so does content that nobody who contributed it still shares.';

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
        order by v.artifact_id, v.pinned desc, v.level desc, v.confidence desc, v.weight desc, v.uses desc,
            v.last_used_at desc nulls last, v.holders desc, v.variant
    ), updated as (
        update centralcloud.artifact a set
            variant = w.variant, summary = w.summary, tags = coalesce(w.tags, '{}'), holders = coalesce(w.holders, 0),
            vouching = coalesce(w.vouching, 0), uses = coalesce(w.uses, 0), successes = coalesce(w.successes, 0),
            failures = coalesce(w.failures, 0),
            last_used_at = w.last_used_at, confidence = coalesce(w.confidence, 0),
            level = coalesce(w.level, 'candidate'), pinned = coalesce(w.pinned, false), version = a.version + 1
        from unnest(artifact_ids) as i (artifact_id)
        left join winner w using (artifact_id)
        where a.artifact_id = i.artifact_id
            and (
                a.variant, a.summary, a.tags, a.holders, a.vouching, a.uses, a.successes, a.last_used_at, a.confidence,
                a.level, a.pinned
            ) is distinct from (
                w.variant, w.summary, coalesce(w.tags, '{}'), coalesce(w.holders, 0), coalesce(w.vouching, 0),
                coalesce(w.uses, 0), coalesce(w.successes, 0), w.last_used_at, coalesce(w.confidence, 0),
                coalesce(w.level, 'candidate'),
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
is 'Makes the best variant of each artifact its winner: pinned, then level, confidence, evidence (the weight of its voices, then '
'uses), recency, the number of its holders (so a changed content follows the old one that nobody holds any more), hash. What '
'changed is indexed and waits to be published.';

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
