-- How well a variant is proved: each group has one voice, and those that may be hostile are left out.

create or replace function centralcloud.hostile_groups(artifact_ids uuid[])
returns table (artifact_id uuid, hostile bigint)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    hostile_share constant double precision := centralcloud.get_setting('hostile_share')::double precision;
begin
    return query
    select a.artifact_id, floor(coalesce(n.groups, 0) * hostile_share + 0.5)::bigint
    from centralcloud.artifact a
    left join (
        select c.namespace, count(*) as groups from centralcloud.active_group c group by c.namespace
    ) as n using (namespace)
    where a.artifact_id = any (artifact_ids);
end
$$;

comment on function centralcloud.hostile_groups(uuid[])
is 'How many groups may be hostile to each artifact: hostile_share of the active groups of its namespace, rounded.';

create or replace function centralcloud.voices(artifact_ids uuid[])
returns table (
    artifact_id uuid, variant text, group_name text, uses bigint, successes bigint, failures bigint,
    last_used_at timestamptz, rate double precision, counted double precision, environment double precision,
    decay double precision, trust double precision, weight double precision, hostile bigint, spoken bigint,
    left_out text
)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    group_cap constant double precision := centralcloud.get_setting('group_cap')::double precision;
    new_group_trust constant double precision := centralcloud.get_setting('new_group_trust')::double precision;
    weights constant jsonb := centralcloud.get_setting('environment_weights')::jsonb;
    half_life constant double precision := extract(epoch from centralcloud.get_setting('half_life')::interval);
    as_of constant timestamptz := centralcloud.get_setting('scored_as_of')::timestamptz;
begin
    return query
    with live as (
        select
            e.artifact_id, e.variant, e.instance_id, e.incarnation, e.uses, e.successes, e.failures, e.last_used_at,
            i.group_name, coalesce((weights ->> i.environment)::double precision, 1) as environment,
            -- after 100 half-lives nothing is left, and smaller numbers would underflow
            power(
                0.5::double precision,
                least(coalesce(greatest(extract(epoch from as_of - e.last_used_at), 0), 0) / half_life, 100)
            ) as decay
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
            sum(l.uses * l.environment order by l.instance_id, l.incarnation) as uses_there,
            sum(l.uses * l.environment * l.decay order by l.instance_id, l.incarnation) as uses_left,
            sum(l.successes * l.environment * l.decay order by l.instance_id, l.incarnation) as successes_left
        from live l
        group by l.artifact_id, l.variant, l.group_name
    ), heard as (
        select
            g.*, least(g.uses, group_cap) as counted, coalesce(r.trust, new_group_trust) as trust,
            g.uses_there > 0 and coalesce(r.trust, new_group_trust) > 0 as speaks,
            n.hostile
        from by_group g
        left join centralcloud.reputation r using (group_name)
        join centralcloud.hostile_groups(artifact_ids) as n using (artifact_id)
    ), placed as (
        select
            h.*,
            least(greatest(h.successes_left / nullif(h.uses_left, 0), 0), 1) as rate,
            h.uses_there / nullif(h.uses, 0) as environment, h.uses_left / nullif(h.uses_there, 0) as decay,
            count(*) filter (where h.speaks) over (partition by h.artifact_id, h.variant) as spoken,
            row_number() over (
                partition by h.artifact_id, h.variant, h.speaks
                order by h.successes_left / nullif(h.uses_left, 0), h.counted, h.group_name
            ) as place
        from heard h
    )
    select
        p.artifact_id, p.variant, p.group_name, p.uses, p.successes, p.failures, p.last_used_at, p.rate, p.counted,
        p.environment, p.decay, p.trust,
        case when p.speaks then p.counted * p.environment * p.decay * p.trust else 0 end,
        p.hostile, p.spoken,
        case
            when p.uses = 0 then 'no outcomes'
            when not p.speaks then 'no weight'
            when p.place > p.spoken - p.hostile then 'best'
            when p.place <= p.hostile and p.spoken > 2 * p.hostile then 'worst'
        end
    from placed p;
end
$$;

comment on function centralcloud.voices(uuid[])
is 'The voice of each group about each variant: its success rate, with a weight that is the product of the outcomes counted (at '
'most group_cap), environment, decay since the last use before scored_as_of, and trust. Of the active groups of the namespace '
'the share hostile_share may be hostile: so many of the best and of the worst voices are left out; where too few have spoken '
'for that, so many of the best. What is withdrawn or of a blocked or retired instance does not count.';

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
        case when groups is not null then 'low' else 'candidate' end::centralcloud.level
    )
$$;

comment on function centralcloud.level_of(double precision, bigint, jsonb)
is 'Level of a variant from its confidence and the number of groups that agree: the greatest one whose thresholds are met, else '
'low; candidate without any outcome (groups is null).';

create or replace function centralcloud.note_active_groups(artifact_ids uuid[]) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    hostile_share constant double precision := centralcloud.get_setting('hostile_share')::double precision;
    moved text[];
begin
    with added as (
        insert into centralcloud.active_group (namespace, group_name)
        select distinct a.namespace, i.group_name
        from centralcloud.evidence e
        join centralcloud.artifact a using (artifact_id)
        join centralcloud.instance i using (instance_id)
        where e.artifact_id = any (artifact_ids) and e.uses > 0 and not i.blocked and i.retired_at is null
            and e.last_used_at >= centralcloud.active_since()
            and not exists (
                select from centralcloud.active_group c
                where c.namespace = a.namespace and c.group_name = i.group_name
            )
        order by 1, 2
        on conflict do nothing
        returning namespace
    ), grown as (
        select n.namespace, n.added, (
            select count(*) from centralcloud.active_group c where c.namespace = n.namespace
        ) as before
        from (select d.namespace, count(*) as added from added d group by d.namespace) as n
    )
    select array_agg(g.namespace) into moved from grown g
    where floor((g.before + g.added) * hostile_share + 0.5) <> floor(g.before * hostile_share + 0.5);
    -- what was scored when fewer might be hostile
    if moved is not null then
        insert into centralcloud.unscored (artifact_id)
        select distinct e.artifact_id from centralcloud.evidence e
        join centralcloud.artifact a using (artifact_id)
        where a.namespace = any (moved) and e.artifact_id <> all (artifact_ids)
        on conflict do nothing;
    end if;
end
$$;

comment on function centralcloud.note_active_groups(uuid[])
is 'Notes the groups with outcomes of artifacts as active. Where more of a namespace may be hostile by that, everything in it is '
'queued to be scored.';

create or replace function centralcloud.active_since() returns timestamptz
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(
        -- a half-life may be longer than time itself
        centralcloud.get_setting('scored_as_of')::timestamptz
            - least(centralcloud.get_setting('half_life')::interval, interval '1000 years'),
        '-infinity'
    )
$$;

comment on function centralcloud.active_since() is 'A group without outcomes since then is not active: half_life before scored_as_of.';

create or replace function centralcloud.refresh_active_groups() returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    with active as (
        select distinct a.namespace, i.group_name
        from centralcloud.evidence as e
        join centralcloud.artifact as a on e.artifact_id = a.artifact_id
        join centralcloud.instance as i on e.instance_id = i.instance_id
        where e.uses > 0 and not i.blocked and i.retired_at is null and e.last_used_at >= centralcloud.active_since()
    ), deleted as (
        delete from centralcloud.active_group as c
        where not exists (
            select from active as a where a.namespace = c.namespace and a.group_name = c.group_name
        )
    )
    insert into centralcloud.active_group (namespace, group_name)
    select namespace, group_name from active order by 1, 2
    on conflict do nothing
$$;

comment on function centralcloud.refresh_active_groups() is 'Finds out anew which groups are active in which namespace.';

create or replace function centralcloud.agreement()
returns table (
    artifact_id uuid, variant text, group_name text, uses bigint, rate double precision, others double precision,
    agrees boolean
)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    with voice as (
        -- without trust, so that it follows from the outcomes alone
        select v.*, v.counted * v.environment * v.decay as untrusted, v.left_out is null as kept
        from centralcloud.voices(array(
            select distinct k.artifact_id from centralcloud.variant k where k.groups >= 3
        )) as v
        where v.spoken - v.hostile >= 3 and v.left_out is distinct from 'no outcomes'
            and v.left_out is distinct from 'no weight'
    ), compared as (
        select
            v.*,
            (total.successes - case when v.kept then v.rate * v.untrusted else 0 end)
                / nullif(total.weight - case when v.kept then v.untrusted else 0 end, 0) as others
        from voice v
        join (
            select
                k.artifact_id, k.variant, sum(k.untrusted order by k.group_name) as weight,
                sum(k.rate * k.untrusted order by k.group_name) as successes
            from voice k
            where k.kept
            group by k.artifact_id, k.variant
        ) as total using (artifact_id, variant)
    )
    select c.artifact_id, c.variant, c.group_name, c.uses, c.rate, c.others, (c.rate >= 0.5) = (c.others >= 0.5)
    from compared c
    where c.uses >= 3 and (c.others >= 0.75 or c.others <= 0.25);
end
$$;

comment on function centralcloud.agreement()
is 'What each group with three outcomes or more says of variants that are well established, and whether it agrees: at least three '
'groups have spoken, less those that may be hostile, and of those not left out the others have a mean success rate of 0.75 '
'and above, or of 0.25 and below. Trust has no part in it.';

create or replace function centralcloud.refresh_reputation() returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    new_group_trust constant double precision := centralcloud.get_setting('new_group_trust')::double precision;
begin
    insert into centralcloud.reputation as r (group_name, trust, agreements, contradictions)
    select
        t.group_name, (5 * new_group_trust + t.agreements) / (5 + t.agreements + t.contradictions), t.agreements,
        t.contradictions
    from (
        select
            coalesce(a.group_name, known.group_name) as group_name, count(*) filter (where a.agrees) as agreements,
            count(*) filter (where not a.agrees) as contradictions
        from centralcloud.agreement() as a
        full join centralcloud.reputation known using (group_name)
        group by 1
    ) as t
    order by 1
    on conflict (group_name) do update set
        trust = case when r.set_by is null then excluded.trust else r.trust end,
        agreements = excluded.agreements, contradictions = excluded.contradictions;
end
$$;

comment on function centralcloud.refresh_reputation()
is 'Computes the trust of each group anew, as a mean: new_group_trust counts five times, each agreement is 1, each contradiction '
'0. What a curator set stays. It follows from the outcomes and scored_as_of alone.';

create or replace function centralcloud.explain_reputation(group_name text)
returns table (
    agrees boolean, namespace text, kind text, name text, variant text, uses bigint, rate double precision,
    others double precision
)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    select g.agrees, a.namespace, a.kind, a.name, g.variant, g.uses, g.rate, g.others
    from centralcloud.agreement() as g
    join centralcloud.artifact a using (artifact_id)
    where g.group_name = explain_reputation.group_name
    order by g.agrees, a.namespace, a.kind, a.name, g.variant;
end
$$;

comment on function centralcloud.explain_reputation(text)
is 'Why a group is trusted as it is: the well established variants that it has outcomes of, its success rate and the mean of the '
'others, contradictions first.';

create or replace function centralcloud.set_trust(group_name text, trust double precision, reason text) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    members constant uuid[] := array(
        select i.instance_id from centralcloud.instance i where i.group_name = set_trust.group_name
    );
begin
    if cardinality(members) = 0 then
        raise exception using errcode = 'no_data_found',
            message = format('there is no group %L', set_trust.group_name),
            hint = 'The groups are in centralcloud.instance.group_name.';
    elsif not coalesce(set_trust.trust between 0 and 1, true) then
        raise exception using errcode = 'invalid_parameter_value', message = format('trust is %s', set_trust.trust),
            hint = 'It is between 0 and 1; null has it computed again.';
    elsif coalesce(set_trust.reason, '') !~ '\S' then
        raise exception using errcode = 'invalid_parameter_value', message = 'reason is empty',
            hint = 'Say why, for whoever looks at centralcloud.reputation later.';
    end if;
    insert into centralcloud.reputation as r (group_name, trust, set_by, set_at, reason)
    values (
        set_trust.group_name,
        coalesce(set_trust.trust, centralcloud.get_setting('new_group_trust')::double precision),
        case when set_trust.trust is not null then session_user::text end, now(), set_trust.reason
    )
    on conflict (group_name) do update set
        trust = excluded.trust, set_by = excluded.set_by, set_at = excluded.set_at, reason = excluded.reason;
    if set_trust.trust is null then
        perform centralcloud.refresh_reputation();
    end if;
    perform centralcloud.queue_scores(members);
end
$$;

comment on function centralcloud.set_trust(text, double precision, text)
is 'Sets how far a group is trusted, 0 (its voice does not count) to 1, with the reason; null has it computed again. What it has '
'outcomes of is scored anew in the background. Errors: P0002 for a group that there is not, 22023 for a trust that is not 0 to '
'1 or an empty reason.';

create or replace function centralcloud.explain_confidence(namespace text, kind text, name text)
returns table (
    variant text, winner boolean, level centralcloud.level, confidence double precision, group_name text,
    instances text[], uses bigint, successes bigint, rate double precision, weight double precision,
    counted double precision, trust double precision, environment double precision, decay double precision,
    left_out text
)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    wanted constant uuid := centralcloud.artifact_id(
        explain_confidence.namespace, explain_confidence.kind, explain_confidence.name
    );
begin
    return query
    select
        k.variant, coalesce(k.variant = a.variant, false), k.level, k.confidence, v.group_name,
        (
            select array_agg(distinct i.instance_name order by i.instance_name)
            from centralcloud.evidence e join centralcloud.instance i using (instance_id)
            where e.artifact_id = wanted and e.variant = k.variant and i.group_name = v.group_name
        ),
        v.uses, v.successes, v.rate, v.weight, v.counted, v.trust, v.environment, v.decay,
        case v.left_out
            when 'best' then format('one of the %s best, which may be hostile', v.hostile)
            when 'worst' then format('one of the %s worst, which may be hostile', v.hostile)
            else v.left_out
        end
    from centralcloud.variant k
    join centralcloud.artifact a using (artifact_id)
    left join centralcloud.voices(array[wanted]) as v on v.variant = k.variant
    where k.artifact_id = wanted
    order by 2 desc, k.level desc, k.confidence desc, k.variant, v.rate desc nulls last, v.weight desc, v.group_name;
end
$$;

comment on function centralcloud.explain_confidence(text, text, text)
is 'How the variants of an artifact got their confidence and level: one row for each variant and group, the winner first, with '
'the voice (rate and weight, which is counted times trust, environment and decay) and why it was left out, null when it was '
'not. A variant without outcomes has one row without a group. See voices().';

create or replace function centralcloud.rescore(as_of timestamptz default now()) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform centralcloud.change_settings(jsonb_build_object('scored_as_of', as_of));
    perform centralcloud.refresh_active_groups(), centralcloud.refresh_reputation();
    insert into centralcloud.unscored (artifact_id)
    select distinct e.artifact_id from centralcloud.evidence as e
    on conflict do nothing;
end
$$;

comment on function centralcloud.rescore(timestamptz)
is 'Computes the decay of outcomes for another time: sets scored_as_of, finds the active groups and their reputation, and queues '
'every artifact with outcomes; the bridge scores them in the background. It does this by itself once a day.';

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
