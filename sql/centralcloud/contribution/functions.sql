create or replace function centralcloud.read_contributions(speakers uuid[], bodies jsonb[])
returns setof centralcloud.incoming
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    with read as (
        select
            b.n - 1 as message, e.ordinality as place, b.speaker,
            centralcloud.artifact_id(r.namespace, r.kind, r.name) as artifact_id, r as record,
            r.record_type, r.version, case when r.record_type = 'evidence' then r.variant end as variant,
            case when r.record_type = 'evidence' then r.incarnation end as incarnation,
            -- in this order for ever: what is equal must stay so after an upgrade, and nulls leave no trace
            md5(concat_ws('|', r.variant, r.withdrawn_up_to, r.summary, r.tags, r.uses, r.successes, r.failures,
                extract(epoch from r.last_used_at))) as state_hash,
            (coalesce(
                centralcloud.record_refusal(r),
                -- one that was not heard yet may come from another authority and has counted there
                case when i.greatest_version > 0 and centralcloud.is_leap(r.version, i.greatest_version, 17592186044416)
                    then centralcloud.refuse('22023',
                        format('version %s leaps: the greatest that is known is %s', r.version, i.greatest_version))
                end
            )).reason as invalid
        from unnest(speakers, bodies) with ordinality as b (speaker, body, n)
        left join centralcloud.instance as i on b.speaker = i.instance_id
        cross join lateral jsonb_array_elements(b.body -> 'records') with ordinality as e
        cross join lateral centralcloud.read_record(e.value) as r
    ), forbidden as (
        select s.speaker, a.namespace
        from (select speaker, array_agg(distinct (record).namespace) as namespaces from read group by speaker) as s
        cross join lateral centralcloud.access_of(s.speaker, s.namespaces) as a
        where not a.may_contribute
    ), judged as (
        select r.*, coalesce(r.invalid, case
            -- what somebody gave he may take back
            when f.speaker is not null and not (r.record_type = 'holding' and (r.record).variant is null and exists (
                select from centralcloud.holding h where h.artifact_id = r.artifact_id and h.instance_id = r.speaker
            )) then format('this instance may not contribute to the namespace %s', f.namespace)
        end) as reason
        from read as r
        left join forbidden as f on r.speaker = f.speaker and (r.record).namespace = f.namespace
    ), together as (
        select
            r.*,
            max(r.version) over same_key as greatest_version,
            min(r.state_hash) over same_version <> max(r.state_hash) over same_version as differs
        from judged r
        window
            same_key as (
                partition by r.reason is null, r.artifact_id, r.speaker, r.record_type, r.variant, r.incarnation
            ),
            same_version as (
                partition by
                    r.reason is null, r.artifact_id, r.speaker, r.record_type, r.variant, r.incarnation, r.version
            )
    )
    select
        t.message::integer, t.speaker, t.artifact_id, t.record, t.state_hash,
        case
            when t.reason is not null then 'refused'
            when greatest(t.greatest_version, k.version) > t.version then 'superseded'
            else 'stored'
        end,
        t.reason,
        t.reason is null and (t.differs or coalesce(k.version = t.version and k.state_hash <> t.state_hash, false))
    from together t
    left join lateral (
        select h.version, h.state_hash from centralcloud.holding h
        where t.record_type = 'holding' and h.artifact_id = t.artifact_id and h.instance_id = t.speaker
        union all
        select e.version, e.state_hash from centralcloud.evidence e
        where t.record_type = 'evidence' and e.artifact_id = t.artifact_id and e.variant = t.variant
            and e.instance_id = t.speaker and e.incarnation = t.incarnation
    ) as k on true
    order by t.message, t.place;
end
$$;

comment on function centralcloud.read_contributions(uuid[], jsonb[])
is 'Reads the records of contributions, before they are stored, and judges each, see incoming. A twin is another state under '
'the same version: two databases speak in one name.';

create or replace function centralcloud.store_contributions(incoming centralcloud.incoming[]) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    insert into centralcloud.artifact (artifact_id, namespace, kind, name)
    select distinct i.artifact_id, (i.record).namespace, (i.record).kind, (i.record).name
    from unnest(incoming) as i
    where i.verdict <> 'refused'
    order by i.artifact_id
    on conflict do nothing;

    -- what is withdrawn stays withdrawn, even where two databases under one name disagree
    insert into centralcloud.holding as h (
        instance_id, artifact_id, variant, version, withdrawn_up_to, state_hash, seal
    )
    select distinct on (i.artifact_id, i.instance_id)
        i.instance_id, i.artifact_id, r.variant, r.version,
        max(coalesce(r.withdrawn_up_to, 0)) over (partition by i.artifact_id, i.instance_id), i.state_hash, r.seal
    from unnest(incoming) as i
    cross join lateral (select (i.record).*) as r
    where i.verdict <> 'refused' and r.record_type = 'holding'
    order by i.artifact_id, i.instance_id, r.version desc, i.state_hash desc, r.seal nulls last
    on conflict (artifact_id, instance_id) do update set
        (variant, version, state_hash, seal) = (
            select n.variant, n.version, n.state_hash, n.seal
            from (values
                (excluded.variant, excluded.version, excluded.state_hash, excluded.seal),
                (h.variant, h.version, h.state_hash, h.seal)
            ) as n (variant, version, state_hash, seal)
            order by n.version desc, n.state_hash desc, n.seal nulls last limit 1
        ),
        withdrawn_up_to = greatest(h.withdrawn_up_to, excluded.withdrawn_up_to)
    where (excluded.version, excluded.state_hash) > (h.version, h.state_hash)
        or excluded.withdrawn_up_to > h.withdrawn_up_to
        -- what was told before there were seals
        or h.seal is null and (excluded.version, excluded.state_hash) = (h.version, h.state_hash);

    insert into centralcloud.contribution as c (instance_id, artifact_id, variant, version, summary, tags)
    select distinct on (i.artifact_id, r.variant, i.instance_id)
        i.instance_id, i.artifact_id, r.variant, r.version, r.summary, coalesce(r.tags, '{}')
    from unnest(incoming) as i
    cross join lateral (select (i.record).*) as r
    where i.verdict <> 'refused' and r.record_type = 'holding' and r.variant is not null
    order by i.artifact_id, r.variant, i.instance_id, r.version desc, r.summary desc nulls last, r.tags desc nulls last
    on conflict (artifact_id, variant, instance_id) do update set
        version = excluded.version, summary = excluded.summary, tags = excluded.tags
    where (excluded.version, excluded.summary is not null, coalesce(excluded.summary, ''), excluded.tags)
        > (c.version, c.summary is not null, coalesce(c.summary, ''), c.tags);

    -- what is withdrawn says nothing any more, in whatever order it came
    update centralcloud.contribution c set summary = null, tags = '{}'
    from unnest(incoming) as i
    join centralcloud.holding h using (artifact_id, instance_id)
    where i.verdict <> 'refused' and c.artifact_id = h.artifact_id and c.instance_id = h.instance_id
        and c.version <= h.withdrawn_up_to and (c.summary is not null or c.tags <> '{}');

    insert into centralcloud.evidence as e (
        instance_id, artifact_id, variant, incarnation, uses, successes, failures, last_used_at, version, state_hash,
        seal
    )
    select distinct on (i.artifact_id, r.variant, i.instance_id, r.incarnation)
        i.instance_id, i.artifact_id, r.variant, r.incarnation, r.uses, r.successes, r.failures,
        -- a clock that runs ahead does not keep outcomes fresh
        -- clocks are wrong: what is far behind weighs nothing, and nothing is used later than now
        greatest(least(r.last_used_at, now()), timestamptz '2000-01-01 00:00:00+00'), r.version, i.state_hash, r.seal
    from unnest(incoming) as i
    cross join lateral (select (i.record).*) as r
    where i.verdict <> 'refused' and r.record_type = 'evidence'
    order by i.artifact_id, r.variant, i.instance_id, r.incarnation, r.version desc, i.state_hash desc,
        r.seal nulls last
    on conflict (artifact_id, variant, instance_id, incarnation) do update set
        uses = excluded.uses, successes = excluded.successes, failures = excluded.failures,
        last_used_at = excluded.last_used_at, version = excluded.version, state_hash = excluded.state_hash,
        seal = excluded.seal
    where (excluded.version, excluded.state_hash) > (e.version, e.state_hash)
        or e.seal is null and (excluded.version, excluded.state_hash) = (e.version, e.state_hash);

    insert into centralcloud.variant as v (artifact_id, variant, content)
    select distinct on (i.artifact_id, r.variant) i.artifact_id, r.variant, r.content
    from unnest(incoming) as i
    cross join lateral (select (i.record).*) as r
    where i.verdict <> 'refused' and r.variant is not null
    order by i.artifact_id, r.variant, r.content nulls last
    on conflict (artifact_id, variant) do update set content = excluded.content
    where v.content is null and excluded.content is not null;
end
$$;

comment on function centralcloud.store_contributions(centralcloud.incoming[])
is 'Joins records into what is known: the greatest version of each key stays, so order and repetition do not matter.';

create or replace function centralcloud.receipts(incoming centralcloud.incoming[], heads jsonb)
returns table (message integer, subject text, payload bytea)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    select
        i.message, centralcloud.receipt_subject(i.instance_id),
        centralcloud.receipt(
            jsonb_agg(centralcloud.verdict_of(i.artifact_id, i.record, i.verdict, i.reason)),
            centralcloud.readable_heads(i.instance_id, coalesce(
                jsonb_object_agg(t.topic, coalesce(heads -> t.topic, '0')) filter (where i.verdict <> 'refused'), '{}'
            ))
        )
    from unnest(incoming) as i
    cross join lateral (
        select coalesce(centralcloud.topic_name((i.record).namespace, (i.record).kind), '') as topic
    ) as t
    group by i.message, i.instance_id;
end
$$;

comment on function centralcloud.receipts(centralcloud.incoming[], jsonb)
is 'A receipt for each message that was applied, with the heads of its topics as they were before.';

create or replace function centralcloud.verdict_of(
    artifact_id uuid, given centralcloud.wire_record, verdict text, reason text
) returns jsonb
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    made centralcloud.wire_verdict;
begin
    made.artifact_id := verdict_of.artifact_id;
    made.version := given.version;
    if given.record_type = 'evidence' then
        made.variant := given.variant;
        made.incarnation := given.incarnation;
    end if;
    made.verdict := verdict_of.verdict;
    made.reason := centralcloud.printable(verdict_of.reason, 500);
    return centralcloud.without_nulls(to_jsonb(made));
end
$$;

comment on function centralcloud.verdict_of(uuid, centralcloud.wire_record, text, text)
is 'The record of a receipt about a record of a contribution.';

create or replace function centralcloud.receipt(records jsonb, heads jsonb) returns bytea
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select centralcloud.encode_message(jsonb_build_object(
        'type', 'receipt', 'epoch', centralcloud.epoch(), 'records', records, 'heads', coalesce(heads, '{}')
    ))
$$;

comment on function centralcloud.receipt(jsonb, jsonb)
is 'A receipt: records with their verdicts, and the heads of their topics as they were before.';

create or replace function centralcloud.receipt_subject(instance_id uuid) returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$ select format('%s.receipt.%s', centralcloud.get_setting('subject_prefix'), instance_id) $$;

comment on function centralcloud.receipt_subject(uuid) is 'The NATS subject that an instance hears its receipts on.';

create or replace function centralcloud.answer_poison(from_subject text, from_payload bytea, error text)
returns table (subject text, headers jsonb, payload bytea)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    speaker uuid;
begin
    speaker := centralcloud.subject_instance(from_subject);
    return query
    select
        centralcloud.receipt_subject(speaker), null::jsonb,
        centralcloud.receipt(jsonb_agg(centralcloud.without_nulls(jsonb_build_object(
            'artifact_id', centralcloud.artifact_id(r.value ->> 'namespace', r.value ->> 'kind', r.value ->> 'name'),
            'variant', case
                when 'evidence' in (r.value ->> 'record_type', r.value ->> 'what') then r.value -> 'variant'
            end,
            'incarnation', r.value -> 'incarnation', 'version', (r.value ->> 'version')::bigint,
            'verdict', 'refused', 'reason', centralcloud.printable(error, 500)
        ))), '{}')
    from (
        select e.value from jsonb_array_elements(centralcloud.read_message(from_payload) -> 'records') as e limit 1000
    ) as r
    where speaker is not null
    having count(*) > 0;
exception when others then
    if centralcloud.is_transient(sqlstate) then
        raise;
    end if;
    -- not even its records can be read: the dead letter is all there is
    return;
end
$$;

comment on function centralcloud.answer_poison(text, bytea, text)
is 'A receipt that says "refused" for every record of a message that could not be applied, as far as they can be read.';

create or replace function centralcloud.check_speaker(subject text, body jsonb) returns uuid
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    speaker uuid := centralcloud.subject_instance(subject);
begin
    if speaker is null or speaker::text is distinct from body ->> 'instance' then
        raise exception using errcode = 'insufficient_privilege',
            message = format('a message on %s speaks for instance %s', centralcloud.printable(subject),
                coalesce(centralcloud.printable(body ->> 'instance'), 'none')),
            hint = 'An instance speaks only for itself.';
    end if;
    return speaker;
end
$$;

comment on function centralcloud.check_speaker(text, jsonb)
is 'The instance of a message; raises 42501 when subject and payload name different ones.';

create or replace function centralcloud.subject_instance(subject text) returns uuid
language sql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $$ select (regexp_match(subject, '\.([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$'))[1]::uuid $$;

comment on function centralcloud.subject_instance(text)
is 'The instance in whose name a message came: the last token of its subject, which the broker''s permissions vouch for.';
