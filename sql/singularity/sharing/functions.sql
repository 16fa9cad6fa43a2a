-- The gate: what is built into messages has passed it. Policies are judged when something is learned and once more
-- where messages are built; secrets are looked for there only, by the bridge, so that nobody who learns or asks waits
-- for it.

create or replace function singularity.sharing_of(namespace text) returns text
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce(
        (select p.policy from singularity.sharing_policy as p where p.namespace = sharing_of.namespace),
        singularity.get_setting('default_sharing')
    );
end
$$;

comment on function singularity.sharing_of(text)
is 'The policy of a namespace: shared, private or review; default_sharing where share() said nothing, and for null, which is no '
'namespace in particular.';

create or replace function singularity.share(namespace text, policy text) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    perform singularity.check_token(share.namespace, 'namespace');
    if share.policy is null or share.policy not in ('shared', 'private', 'review') then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('there is no sharing policy %L', share.policy),
            hint = 'Policies are: shared (what is learned is sent), private (nothing leaves), review (each version '
                'waits for release()).';
    end if;
    insert into singularity.sharing_policy (namespace, policy) values (share.namespace, share.policy)
    on conflict (namespace) do update set policy = excluded.policy, changed_at = excluded.changed_at;
    perform singularity.apply_policies(array(
        select distinct h.artifact_id from singularity.holding h where h.namespace = share.namespace
    ));
end
$$;

comment on function singularity.share(text, text)
is 'Says what may leave this machine of a namespace: shared (what is learned in it is sent, unless shared => false), private (no '
'content, name, outcome or question of it leaves, and what was sent before is withdrawn at the authority) or review (each new '
'version waits for release(), and no question about it is sent). For namespaces of which nothing is said, and for questions '
'about no namespace, the setting default_sharing holds. Errors: 22023 for an unknown policy or a namespace that is not valid.';

create or replace function singularity.apply_policies(artifact_ids uuid[]) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    connected constant boolean := singularity.get_setting('mode') <> 'local';
    present_incarnation constant uuid := (singularity.present_identity()).incarnation;
    changed uuid[];
begin
    with judged as (
        select h.*, nextval('singularity.version') as new_version, p.private
        from unnest(artifact_ids) as i (artifact_id)
        cross join lateral singularity.present_holding(i.artifact_id) as h
        cross join lateral (select singularity.sharing_of(h.namespace) = 'private' as private) as p
        where h.shared and h.variant is not null and (h.withdrawn_up_to = h.version) <> p.private
    ), inserted as (
        insert into singularity.holding (
            artifact_id, version, namespace, kind, name, variant, content, summary, tags, shared, withdrawn_up_to,
            embedding, contract, incarnation
        )
        select
            artifact_id, new_version, namespace, kind, name, variant, content, summary, tags, shared,
            case when private then new_version else withdrawn_up_to end, embedding, contract, present_incarnation
        from judged
    ), entries as (
        insert into singularity.outbox (version, artifact_id) select new_version, artifact_id from judged
        where connected
    )
    select array_agg(j.artifact_id) into changed from judged j;
    if changed is not null then
        perform singularity.index_artifacts(changed);
        if connected then
            perform singularity.delete_replaced_entries(changed), singularity.ring_doorbell();
        end if;
    end if;
end
$$;

comment on function singularity.apply_policies(uuid[])
is 'Where the policy of its namespace changed, gives an artifact a version that is withdrawn, or no longer so, and queues it.';

create or replace function singularity.is_kept_here(artifact_id uuid) returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select coalesce((
        select h.variant is not null and (not h.shared or h.withdrawn_up_to = h.version or exists (
            select from singularity.held_holding as b where b.artifact_id = h.artifact_id and b.version = h.version
        ))
        from singularity.present_holding(is_kept_here.artifact_id) as h
    ), false)
$$;

comment on function singularity.is_kept_here(uuid)
is 'Whether an artifact is known here and does not leave: its name is in no question either.';

create or replace function singularity.holding_fingerprint(variant text, summary text, tags text[]) returns text
language sql immutable parallel safe
begin atomic
    select encode(sha256(convert_to(jsonb_build_array(variant, summary, tags)::text, 'UTF8')), 'hex');
end;

comment on function singularity.holding_fingerprint(text, text, text[])
is 'A sha-256 of what release() lets pass: content, summary and tags.';

create or replace function singularity.find_secrets(records jsonb[])
returns table (record integer, rule text, place text)
language plpython3u stable parallel restricted cost 10000 rows 10
set search_path = pg_catalog, pg_temp
as $$
    if "singularity_secrets" not in GD:
        import importlib, sys
        folder = plpy.execute("select singularity.server_files() as folder")[0]["folder"] + "/python"
        if folder not in sys.path:
            sys.path.append(folder)
        importlib.invalidate_caches()
        GD["singularity_secrets"] = importlib.import_module("singularity_plpy.secrets")
    return list(GD["singularity_secrets"].find_in_json(records))  # an error in it is told as it is
$$;

comment on function singularity.find_secrets(jsonb[])
is 'Looks for credentials in JSON objects of fields and says in which of them (counted from 1), by which rule and where: never '
'what. It raises an error where the scanner is not installed, and holds a record back that the scanner fails at.';

create or replace function singularity.find_secrets_or_wait(records jsonb[])
returns table (record integer, findings jsonb)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    select f.record, jsonb_agg(jsonb_build_object('rule', f.rule, 'place', f.place))
    from singularity.find_secrets(records) as f
    group by f.record;
    delete from singularity.secret_scanner;
exception when external_routine_exception or external_routine_invocation_exception then
    insert into singularity.secret_scanner as s (failed_at, failure) values (clock_timestamp(), left(sqlerrm, 500))
    on conflict (only_row) do update set failed_at = excluded.failed_at, failure = excluded.failure;
    return query
    select r.ordinality::integer, null::jsonb from unnest(records) with ordinality as r;
end
$$;

comment on function singularity.find_secrets_or_wait(jsonb[])
is 'What find_secrets() finds, an array for each record that has something; null for every record while the scanner cannot be '
'loaded: then nothing passes, and scanner_is_ready() is false for a while.';

create or replace function singularity.scanner_is_ready() returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select not exists (
        select from singularity.secret_scanner as s where not singularity.is_over(s.failed_at, '10 seconds')
    )
$$;

comment on function singularity.scanner_is_ready()
is 'Whether secrets can be looked for, as far as is known: after a failure it is tried again every 10 seconds.';

create or replace function singularity.judge_entries(artifact_ids uuid[], variants text[]) returns bigint[]
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
    candidates singularity.holding[];
    held jsonb[];
    corrected uuid[];
begin
    perform singularity.apply_policies(
        array(select distinct i.artifact_id from unnest(artifact_ids) as i (artifact_id))
    );
    candidates := array(
        select h from (
            select distinct c.artifact_id, c.version
            from unnest(artifact_ids, variants) as e (artifact_id, variant)
            cross join lateral (
                select p.artifact_id, p.version from singularity.holding_to_send(e.artifact_id) as p
                where e.variant = ''
                union all
                -- outcomes name a variant by its hash, so it must have passed as well
                select v.artifact_id, max(v.version) from singularity.holding v
                where v.artifact_id = e.artifact_id and v.variant = e.variant
                group by v.artifact_id
            ) as c
        ) as c
        join singularity.holding h on h.artifact_id = c.artifact_id and h.version = c.version
        where h.shared and h.variant is not null and h.withdrawn_up_to < h.version
            and singularity.sharing_of(h.namespace) <> 'private'
    );
    with candidate as (
        select c.ordinality, c.artifact_id, c.version, c.variant, c.namespace, c.kind, c.name, c.content, c.summary,
            c.tags,
            singularity.sharing_of(c.namespace) as policy
        from unnest(candidates) with ordinality as c
        where not exists (
            select from singularity.delivery d
            where d.artifact_id = c.artifact_id and d.variant = '' and d.offered_version >= c.version
        ) and not exists (
            select from singularity.held_holding b where b.artifact_id = c.artifact_id and b.version = c.version
        ) and not exists (
            select from singularity.released_holding r
            where r.artifact_id = c.artifact_id
                and r.fingerprint = singularity.holding_fingerprint(c.variant, c.summary, c.tags)
        )
    ), to_scan as (
        select array_agg(c.ordinality order by c.ordinality) as places, array_agg(jsonb_build_object(
            'namespace', c.namespace, 'kind', c.kind, 'name', c.name, 'summary', c.summary, 'tags', c.tags,
            'content', c.content
        ) order by c.ordinality) as records
        from candidate c where c.policy = 'shared'
    ), found as (
        select c.ordinality, jsonb_build_array(jsonb_build_object('rule', 'review')) as findings
        from candidate c where c.policy = 'review'
        union all
        select s.places[f.record], f.findings
        from to_scan s cross join lateral singularity.find_secrets_or_wait(s.records) as f
        where s.records is not null
    )
    select array_agg(jsonb_build_array(f.ordinality, f.findings)) into held from found f;
    insert into singularity.held_holding (artifact_id, version, variant, findings)
    select candidates[o.n].artifact_id, candidates[o.n].version, candidates[o.n].variant, h.entry -> 1
    from unnest(held) as h (entry)
    cross join lateral (select (h.entry ->> 0)::integer as n) as o
    where h.entry -> 1 <> 'null'
    on conflict do nothing;
    -- a later version with the same content passes: what was held of the earlier one was beside the content
    with passed as (
        select c.artifact_id, c.variant, c.version from unnest(candidates) with ordinality as c
        where not exists (select from unnest(held) as h (entry) where (h.entry ->> 0)::bigint = c.ordinality)
            and not exists (
                select from singularity.held_holding b where b.artifact_id = c.artifact_id and b.version = c.version
            )
    ), freed as (
        delete from singularity.held_holding b using passed p
        where b.artifact_id = p.artifact_id and b.variant = p.variant and b.version < p.version
        returning b.artifact_id
    )
    select array_agg(distinct f.artifact_id) into corrected from freed f;
    if corrected is not null then
        perform singularity.backfill(corrected);
    end if;
    return array(
        select c.version from unnest(candidates) with ordinality as c
        where not exists (select from unnest(held) as h (entry) where (h.entry ->> 0)::bigint = c.ordinality)
            and not exists (
                select from singularity.held_holding b where b.artifact_id = c.artifact_id and b.version = c.version
            )
    );
end
$$;

comment on function singularity.judge_entries(uuid[], text[])
is 'Judges what entries of the outbox are about, by policy and by a scan for secrets, each version once; what may not leave is '
'put into held_holding. Returns the versions of holdings that may leave.';

create or replace function singularity.is_held(artifact_id uuid, variant text) returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select from singularity.held_holding as b
        where b.artifact_id = is_held.artifact_id and b.variant = is_held.variant
    )
$$;

comment on function singularity.is_held(uuid, text) is 'Whether a variant of an artifact is held back: then its outcomes are too.';

create or replace function singularity.release(kind text, name text, namespace text default 'default') returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    key constant record := singularity.check_key(release.namespace, release.kind, release.name);
    present constant singularity.holding := (select h from singularity.present_holding(key.artifact_id) as h);
begin
    if not exists (
        select from singularity.held_holding b
        where b.artifact_id = key.artifact_id and b.version = present.version
    ) then
        return false;
    end if;
    insert into singularity.released_holding (artifact_id, fingerprint)
    values (key.artifact_id, singularity.holding_fingerprint(present.variant, present.summary, present.tags))
    on conflict do nothing;
    delete from singularity.held_holding b where b.artifact_id = key.artifact_id and b.variant = present.variant;
    if singularity.get_setting('mode') <> 'local' then
        perform singularity.backfill(array[key.artifact_id]), singularity.ring_doorbell();
    end if;
    return true;
end
$$;

comment on function singularity.release(text, text, text)
is 'Lets the present version of an artifact leave that is held back, see the view held_back; a changed one is judged anew. '
'Returns whether it was held back.';

create or replace function singularity.held_entries()
returns table (
    what text, artifact_id uuid, question_id uuid, namespace text, kind text, name text, rule text, place text,
    held_at timestamptz
)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    with entry as (
        select
            'artifact'::text as what, h.artifact_id, null::uuid as question_id, h.namespace, h.kind, h.name, b.findings,
            b.held_at
        from singularity.held_holding b
        join singularity.holding h on b.artifact_id = h.artifact_id and b.version = h.version
        where h.version = (select p.version from singularity.present_holding(b.artifact_id) as p)
            and singularity.sharing_of(h.namespace) <> 'private'
        union all
        select 'question', null, q.question_id, q.namespace, q.kind, null, q.findings, q.answered_at
        from singularity.question q
    )
    select
        e.what, e.artifact_id, e.question_id,
        -- where the secret stands only its beginning is shown
        case when f.place like 'namespace,%' then left(e.namespace, 3) || '…' else e.namespace end,
        case when f.place like 'kind,%' then left(e.kind, 3) || '…' else e.kind end,
        case when f.place like 'name,%' then left(e.name, 3) || '…' else e.name end,
        f.rule, f.place, e.held_at
    from entry e
    cross join lateral jsonb_to_recordset(e.findings) as f (rule text, place text);
end
$$;

comment on function singularity.held_entries() is 'The rows of the view held_back.';

create or replace view singularity.held_back as
select
    e.what,
    e.artifact_id,
    e.question_id,
    e.namespace,
    e.kind,
    e.name,
    e.rule,
    e.place,
    e.held_at
from singularity.held_entries() as e;

comment on view singularity.held_back
is 'What is not sent though it is shared: it looks as if a secret was in it, or its namespace is under review. One row for each '
'finding; the secret itself is not shown.';
comment on column singularity.held_back.what is 'artifact or question.';
comment on column singularity.held_back.artifact_id is 'Id of the artifact; null for a question.';
comment on column singularity.held_back.question_id is 'Id of the question; null for an artifact.';
comment on column singularity.held_back.namespace is 'Namespace of the artifact, or asked for.';
comment on column singularity.held_back.kind is 'Kind of the artifact, or asked for.';
comment on column singularity.held_back.name is 'Name of the artifact, its beginning when it was found there; null for a question.';
comment on column singularity.held_back.rule is 'The scanner''s rule, or review.';
comment on column singularity.held_back.place is 'Where: name, summary, tags[i] or a path in content, and the character from 1; null for review.';
comment on column singularity.held_back.held_at is 'Since when.';

create or replace function singularity.sharing_preview()
returns table (namespace text, policy text, artifacts bigint, bytes bigint, held_back bigint)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    with present as (
        select h.namespace, singularity.sharing_of(h.namespace) as policy, h.shared,
            octet_length(h.content::text) + octet_length(h.name) + coalesce(octet_length(h.summary), 0) as bytes,
            exists (
                select from singularity.released_holding as r
                where r.artifact_id = h.artifact_id
                    and r.fingerprint = singularity.holding_fingerprint(h.variant, h.summary, h.tags)
            ) as released,
            exists (
                select from singularity.held_holding as b where b.artifact_id = h.artifact_id and b.version = h.version
            ) or exists (
                select from singularity.delivery as d
                where d.artifact_id = h.artifact_id and d.variant = '' and d.offered_version >= h.version
            ) as judged,
            exists (
                select from singularity.held_holding as b where b.artifact_id = h.artifact_id and b.version = h.version
            ) as held
        from (select distinct x.artifact_id from singularity.holding as x) as a
        cross join lateral singularity.present_holding(a.artifact_id) as h
        where h.variant is not null
    ), counted as (
        select
            p.namespace, p.policy, p.bytes,
            p.shared and p.policy <> 'private' as wanted,
            p.held or p.policy = 'review' and not p.released and not p.judged as held
        from present as p
    )
    select
        c.namespace, c.policy,
        count(*) filter (where c.wanted and not c.held),
        coalesce(sum(c.bytes) filter (where c.wanted and not c.held), 0)::bigint,
        count(*) filter (where c.wanted and c.held)
    from counted as c
    group by c.namespace, c.policy
    order by c.namespace
$$;

comment on function singularity.sharing_preview()
is 'What leaves this machine when it is connected: for each namespace with something in it its policy, the number of artifacts '
'that are shared, their size in bytes, and how many more are held back. Secrets are looked for when a message is built, so '
'held_back counts those of them that were found by then.';

create or replace function singularity.tell_what_leaves() returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    told text;
begin
    select format('%s artifacts (%s) of %s namespaces leave this machine: %s', sum(p.artifacts),
        pg_size_pretty(sum(p.bytes)), count(*), left(string_agg(format('%s %s', p.namespace, p.artifacts), ', '), 500))
    into told
    from singularity.sharing_preview() as p where p.artifacts > 0
    having count(*) > 0;
    raise notice using
        message = format('%s; what is learned in a namespace of which share() said nothing is %s',
            coalesce(told, 'nothing leaves this machine yet'), singularity.get_setting('default_sharing')),
        hint = 'See singularity.sharing_preview(). To keep a namespace here: SELECT singularity.share(namespace, '
            '''private'') before COMMIT, or configure default_sharing.';
end
$$;

comment on function singularity.tell_what_leaves() is 'Says in a notice how much sharing_preview() finds, and the policy of other namespaces.';

create or replace function singularity.held_back_trouble() returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select format(
        '%s held back (%s): see singularity.held_back, then learn it otherwise, or SELECT singularity.release(kind, '
        'name, namespace).',
        case count(distinct coalesce(h.artifact_id, h.question_id))
            when 1 then 'One entry is' else count(distinct coalesce(h.artifact_id, h.question_id)) || ' entries are'
        end,
        string_agg(distinct h.rule, ', ' order by h.rule)
    )
    from singularity.held_back as h
    having count(*) > 0
$$;

comment on function singularity.held_back_trouble() is 'How much is held back and why, with the mend; null for nothing.';

create or replace function singularity.scanner_trouble() returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select format(
        'Secrets cannot be looked for (%s), so nothing is sent: run make install of Singularity on the database server '
        'and restart the bridge.', s.failure
    )
    from singularity.secret_scanner as s
$$;

comment on function singularity.scanner_trouble() is 'Why the scanner for secrets does not work, with the mend; null when it does.';
