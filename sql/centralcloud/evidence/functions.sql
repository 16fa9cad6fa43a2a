create or replace function centralcloud.subject_instance(subject text) returns uuid
language sql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $$ select (regexp_match(subject, '\.([0-9a-f-]{36})$'))[1]::uuid $$;

comment on function centralcloud.subject_instance(text)
is 'The instance in whose name a message came: the last token of its subject, which the broker''s permissions vouch for.';

create or replace function centralcloud.check_speaker(subject text, body jsonb) returns uuid
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    speaker uuid := centralcloud.subject_instance(subject);
begin
    if speaker is null or speaker::text is distinct from body ->> 'instance' then
        raise exception using errcode = 'insufficient_privilege',
            message = format('a message on %s speaks for instance %s', subject, coalesce(body ->> 'instance', 'none')),
            hint = 'An instance speaks only for itself.';
    end if;
    return speaker;
end
$$;

comment on function centralcloud.check_speaker(text, jsonb)
is 'The instance of a message; raises 42501 when subject and payload name different ones.';

create or replace function centralcloud.read_contributions(subjects text[], bodies jsonb[])
returns setof centralcloud.incoming
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    select
        (b.n - 1)::integer, s.instance_id,
        case when j.refusal is null then centralcloud.artifact_id(r.namespace, r.kind, r.name) end,
        r.what, r.namespace, r.kind, r.name, r.version, coalesce(r.withdrawn_through, 0), r.variant, r.content,
        r.summary, coalesce(r.tags, '{}'), r.incarnation, r.uses, r.successes, r.failures, r.last_used_at,
        md5(concat_ws('|', r.variant, r.withdrawn_through, r.summary, r.tags, r.uses, r.successes, r.failures,
            extract(epoch from r.last_used_at))),
        j.refusal
    from unnest(subjects, bodies) with ordinality as b (subject, body, n)
    cross join lateral (select centralcloud.check_speaker(b.subject, b.body)) as s (instance_id)
    cross join lateral jsonb_to_recordset(b.body -> 'records') as r (
        what text, namespace text, kind text, name text, version bigint, withdrawn_through bigint, variant text,
        content jsonb, summary text, tags text[], incarnation uuid, uses bigint, successes bigint, failures bigint,
        last_used_at timestamptz
    )
    cross join lateral (
        select case
            when r.namespace is null or r.kind is null or r.name is null or r.version is null
                then 'namespace, kind, name or version is missing'
            when r.namespace !~ '^[a-z0-9_-]{1,64}$' or r.kind !~ '^[a-z0-9_-]{1,64}$'
                then 'namespace or kind is not valid'
            when octet_length(r.name) not between 1 and 512 or r.name <> normalize(r.name, nfc)
                or r.name ~ '[\u0001-\u001f\u007f-\u009f]' or r.name ~ '^\s|\s$'
                then 'name is not valid'
            when r.version not between 1 and 9000000000000000000 then 'version is out of range'
            when r.what = 'holding' then coalesce(
                centralcloud.holding_refusal(r.version, r.withdrawn_through, r.variant, r.content),
                centralcloud.label_refusal(r.summary, r.tags)
            )
            when r.what = 'evidence' then centralcloud.evidence_refusal(
                r.variant, r.incarnation, r.uses, r.successes, r.failures, r.last_used_at
            )
            else format('%L is neither holding nor evidence', r.what)
        end
    ) as j (refusal);
end
$$;

comment on function centralcloud.read_contributions(text[], jsonb[])
is 'Reads the records of contributions and judges each: a record that breaks the rules is refused with the reason.';

create or replace function centralcloud.holding_refusal(
    version bigint, withdrawn_through bigint, variant text, content jsonb
) returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return case
        when coalesce(withdrawn_through, 0) > version then 'it is withdrawn in its own future'
        when variant is null and withdrawn_through is distinct from version then 'it has no variant and is not withdrawn'
        when variant is null then null
        when content is null then 'content is missing'
        when octet_length(content::text) > centralcloud.content_limit() then 'content is over the limit'
        when variant <> centralcloud.variant_of(content) then 'variant is not the hash of the content'
    end;
end
$$;

comment on function centralcloud.holding_refusal(bigint, bigint, text, jsonb)
is 'Why the state of a holding is refused; null when it is not.';

create or replace function centralcloud.label_refusal(summary text, tags text[]) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    -- an instance does not send such ones; they would swell a page beyond what the broker takes
    select case
        when octet_length(summary) > 4096 then 'summary is over the limit'
        when cardinality(tags) > 64
            or exists (select from unnest(tags) as t (tag) where t.tag is null or octet_length(t.tag) not between 1 and 128)
            then 'tags are not valid'
    end
$$;

comment on function centralcloud.label_refusal(text, text[])
is 'Why the summary or the labels of a holding are refused; null when they are not.';

create or replace function centralcloud.evidence_refusal(
    variant text, incarnation uuid, uses bigint, successes bigint, failures bigint, last_used_at timestamptz
) returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return case
        when variant is null or incarnation is null or last_used_at is null
            then 'variant, incarnation or last_used_at is missing'
        when variant !~ '^[0-9a-f]{64}$' then 'variant is not a sha-256 in hex'
        when not isfinite(last_used_at) then 'last_used_at is not finite'
        -- so that the sum over all instances stays a bigint
        when greatest(uses, successes, failures) > 1000000000000 then 'counters are out of range'
        when least(uses, successes, failures) < 0 or uses is distinct from successes + failures
            then 'counters do not add up'
    end;
end
$$;

comment on function centralcloud.evidence_refusal(text, uuid, bigint, bigint, bigint, timestamptz)
is 'Why the state of evidence is refused; null when it is not.';

create or replace function centralcloud.store_contributions(incoming centralcloud.incoming[]) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    insert into centralcloud.artifact (artifact_id, namespace, kind, name)
    select distinct r.artifact_id, r.namespace, r.kind, r.name from unnest(incoming) as r where r.refusal is null
    order by r.artifact_id
    on conflict do nothing;

    -- what is withdrawn stays withdrawn, even where two databases under one name disagree
    insert into centralcloud.holding as h (instance_id, artifact_id, variant, version, withdrawn_through, state_hash)
    select distinct on (r.artifact_id, r.instance_id)
        r.instance_id, r.artifact_id, r.variant, r.version,
        max(r.withdrawn_through) over (partition by r.artifact_id, r.instance_id), r.state_hash
    from unnest(incoming) as r
    where r.refusal is null and r.what = 'holding'
    order by r.artifact_id, r.instance_id, r.version desc, r.state_hash desc
    on conflict (artifact_id, instance_id) do update set
        (variant, version, state_hash) = (
            select n.variant, n.version, n.state_hash
            from (values
                (excluded.variant, excluded.version, excluded.state_hash), (h.variant, h.version, h.state_hash)
            ) as n (variant, version, state_hash)
            order by n.version desc, n.state_hash desc limit 1
        ),
        withdrawn_through = greatest(h.withdrawn_through, excluded.withdrawn_through)
    where (excluded.version, excluded.state_hash) > (h.version, h.state_hash)
        or excluded.withdrawn_through > h.withdrawn_through;

    insert into centralcloud.contribution as c (instance_id, artifact_id, variant, version, summary, tags)
    select distinct on (r.artifact_id, r.variant, r.instance_id)
        r.instance_id, r.artifact_id, r.variant, r.version, r.summary, r.tags
    from unnest(incoming) as r
    where r.refusal is null and r.what = 'holding' and r.variant is not null
    order by r.artifact_id, r.variant, r.instance_id, r.version desc, r.summary desc nulls last, r.tags desc
    on conflict (artifact_id, variant, instance_id) do update set
        version = excluded.version, summary = excluded.summary, tags = excluded.tags
    where (excluded.version, excluded.summary is not null, coalesce(excluded.summary, ''), excluded.tags)
        > (c.version, c.summary is not null, coalesce(c.summary, ''), c.tags);

    insert into centralcloud.evidence as e (
        instance_id, artifact_id, variant, incarnation, uses, successes, failures, last_used_at, version, state_hash
    )
    select distinct on (r.artifact_id, r.variant, r.instance_id, r.incarnation)
        r.instance_id, r.artifact_id, r.variant, r.incarnation, r.uses, r.successes, r.failures, r.last_used_at, r.version,
        r.state_hash
    from unnest(incoming) as r
    where r.refusal is null and r.what = 'evidence'
    order by r.artifact_id, r.variant, r.instance_id, r.incarnation, r.version desc, r.state_hash desc
    on conflict (artifact_id, variant, instance_id, incarnation) do update set
        uses = excluded.uses, successes = excluded.successes, failures = excluded.failures,
        last_used_at = excluded.last_used_at, version = excluded.version, state_hash = excluded.state_hash
    where (excluded.version, excluded.state_hash) > (e.version, e.state_hash);

    insert into centralcloud.variant as v (artifact_id, variant, content)
    select distinct on (r.artifact_id, r.variant) r.artifact_id, r.variant, r.content
    from unnest(incoming) as r
    where r.refusal is null and r.variant is not null
    order by r.artifact_id, r.variant, r.content nulls last
    on conflict (artifact_id, variant) do update set content = excluded.content
    where v.content is null and excluded.content is not null;
end
$$;

comment on function centralcloud.store_contributions(centralcloud.incoming[])
is 'Joins records into what is known: the greatest version of each key stays, so order and repetition do not matter.';

create or replace function centralcloud.verdicts(incoming centralcloud.incoming[])
returns table (
    message integer, instance_id uuid, artifact_id uuid, variant text, incarnation uuid, version bigint, verdict text,
    reason text, twin boolean
)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    select
        r.message, r.instance_id, coalesce(r.artifact_id, centralcloud.artifact_id(r.namespace, r.kind, r.name)),
        case when r.what = 'evidence' then r.variant end, r.incarnation, r.version,
        case when r.refusal is not null then 'refused' when k.version > r.version then 'superseded' else 'stored' end,
        r.refusal,
        r.refusal is null and k.version = r.version and k.state_hash <> r.state_hash
    from unnest(incoming) as r
    left join lateral (
        select h.version, h.state_hash from centralcloud.holding h
        where r.what = 'holding' and h.artifact_id = r.artifact_id and h.instance_id = r.instance_id
        union all
        select e.version, e.state_hash from centralcloud.evidence e
        where r.what = 'evidence' and e.artifact_id = r.artifact_id and e.variant = r.variant
            and e.instance_id = r.instance_id and e.incarnation = r.incarnation
    ) as k on true;
end
$$;

comment on function centralcloud.verdicts(centralcloud.incoming[])
is 'What became of each record, after it was stored: stored, superseded by a greater version, or refused. A twin is another '
'state under the same version: two databases speak in one name.';
