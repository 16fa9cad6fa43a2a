-- A first session with centralcloud: an instance in the same database teaches it, and a session plays both bridges.
\set VERBOSITY default
\set SHOW_CONTEXT never
set client_min_messages = warning;

-- once, as a superuser; what was not there before is removed at the end
select coalesce(array_agg(rolname::text), '{}') as groups_before
from pg_roles where rolname ~ '^(singularity|centralcloud)_(reader|writer|curator|bridge)$' \gset
select set_config('regress.groups_before', :'groups_before', false) is not null as remembered;
create extension centralcloud cascade;
create extension singularity cascade;
select extname, nspname from pg_extension join pg_namespace n on n.oid = extnamespace
where extname in ('singularity', 'centralcloud') order by extname;
create role regress_singularity_admin login;
create role regress_centralcloud_admin login;
create role regress_centralcloud_reader login;
create role regress_bridge login;
grant singularity_admin to regress_singularity_admin;
grant centralcloud_reader to regress_centralcloud_reader;
grant centralcloud_admin to regress_centralcloud_admin;
grant singularity_bridge, centralcloud_bridge to regress_bridge;
reset client_min_messages;

-- an authority that knows nothing yet
set session authorization regress_centralcloud_reader;
select instances, artifacts, variants, connected, dead_letters, bridge_version from centralcloud.status();
select count(*) from centralcloud.search('retry');

-- an instance learns, says how well it worked, and connects
set session authorization regress_singularity_admin;
select singularity.learn('pattern', 'retry-with-jitter', '{"do": "retry with backoff and jitter"}',
    summary => 'Retry failing calls with backoff and jitter', tags => '{resilience,network}') is not null as learned;
select singularity.learn('pattern', 'secret', '{"do": "not tell"}', shared => false) is not null as learned;
select count(*) from generate_series(1, 10) as n, singularity.record_outcome('pattern', 'retry-with-jitter', n > 1);
select singularity.configure(instance_name => 'laptop', environment => 'prod');
select singularity.connect();

-- what is carried by hand here is not signed
select singularity.configure(settings => '{"unsigned_messages": "accept"}');
set session authorization regress_centralcloud_admin;
select centralcloud.configure('{"unsigned_messages": "accept"}');

-- the bridges attach, and carry what is contributed
set session authorization regress_bridge;
select (singularity.bridge_attach('0.1.0', 1) -> 'attached')::text as instance,
    (centralcloud.bridge_attach('0.1.0', 1) -> 'attached')::text as authority;
select singularity.bridge_tick('{"bridge_version": "0.1.0", "connected": true}') ? 'plan_revision' as instance,
    centralcloud.bridge_tick('{"bridge_version": "0.1.0", "connected": true}') ? 'plan_revision' as authority;
select singularity.bridge_arm() as queues;
create temporary table sent as select * from singularity.bridge_outgoing('contribution', 10);
select via, subject ~ '^singularity\.contribute\.[0-9a-f-]{36}$' as own_subject, r ->> 'record_type' as record_type, r ->> 'name' as name
from sent, jsonb_array_elements(convert_from(payload, 'UTF8')::jsonb -> 'records') as r;
create temporary table receipts as
select r.* from centralcloud.bridge_receive(
    (select array_agg(subject) from sent), (select array_agg(payload) from sent), (select array_agg(null::jsonb) from sent)
) as r;
select r ->> 'verdict' as verdict
from receipts, jsonb_array_elements(convert_from(payload, 'UTF8')::jsonb -> 'records') as r;
set session authorization regress_singularity_admin;
select outbox_entries from singularity.status();
set session authorization regress_bridge;
select count(*) from receipts, singularity.bridge_receive(array[subject], array[payload], array[null::jsonb]);
set session authorization regress_singularity_admin;
select outbox_entries, online from singularity.status();

-- the authority merged and scored it
set session authorization regress_centralcloud_reader;
select relevance between 0 and 1 as scored, (artifact).name, content, (artifact).level, (artifact).uses
from centralcloud.search('how to retry a failing call');
select instance_name, environment, blocked from centralcloud.instance;
select namespace, kind, artifacts, variants, uses, low from centralcloud.statistics();
select count(*) from centralcloud.search('secret') where (artifact).name = 'secret';

-- a question and its answer
set session authorization regress_singularity_admin;
select singularity.ask('backoff') is not null as asked;
set session authorization regress_bridge;
create temporary table questions as select * from singularity.bridge_outgoing('question', 10);
select singularity.bridge_result(jsonb_agg(jsonb_build_object(
    'message_id', message_id, 'ok', true,
    'reply', encode(centralcloud.bridge_serve(subject, payload), 'base64')
))) from questions;
set session authorization regress_singularity_admin;
select online, open_questions, cached_artifacts from singularity.status();
select name, origin, level, uses, success_rate, revision is not null as central, stale
from singularity.lookup('pattern', 'retry-with-jitter');

-- an instance speaks only for itself
set session authorization regress_bridge;
\set VERBOSITY sqlstate
select centralcloud.bridge_serve('singularity.centralcloud.ask.00000000-0000-0000-0000-000000000000', payload)
from questions;
\set VERBOSITY default

-- a curator configures, a reader may not
set session authorization regress_centralcloud_admin;
select centralcloud.configure('{"answer_rows": 5}');
select value, default_value from centralcloud.configuration where name = 'answer_rows';
select centralcloud.configure('{"answer_rows": null}');
\set VERBOSITY terse
select centralcloud.configure('{"answers": 5}');
\set VERBOSITY default
select count(*) from centralcloud.search('');
set session authorization regress_centralcloud_reader;
\set VERBOSITY sqlstate
select centralcloud.configure('{}');
delete from centralcloud.artifact;

-- and away
set session authorization regress_bridge;
drop table sent, receipts, questions;
select singularity.bridge_detach(), centralcloud.bridge_detach();
reset session authorization;
drop extension singularity, centralcloud;
drop schema singularity, centralcloud;
drop role regress_singularity_admin, regress_centralcloud_admin, regress_centralcloud_reader, regress_bridge;
do $$
declare
    made text;
begin
    for made in
        select rolname from pg_roles where rolname ~ '^(singularity|centralcloud)_(reader|writer|curator|bridge)$'
            and rolname <> all (current_setting('regress.groups_before')::text[])
    loop
        execute format('drop role %I', made);
    end loop;
end
$$;
