-- A first session with singularity, as somebody who may write and as somebody who may only read.
\set VERBOSITY default
\set SHOW_CONTEXT never
set client_min_messages = warning;

-- once, as a superuser; what was not there before is removed at the end
select coalesce(array_agg(rolname::text), '{}') as groups_before
from pg_roles where rolname ~ '^singularity_(reader|writer|bridge)$' \gset
select set_config('regress.groups_before', :'groups_before', false) is not null as remembered;
create extension singularity cascade;
create role regress_singularity_admin login;
create role regress_singularity_reader login;
create role regress_singularity_stranger login;
grant singularity_admin to regress_singularity_admin;
grant singularity_reader to regress_singularity_reader;
reset client_min_messages;

-- keep something, and find it again
set session authorization regress_singularity_admin;
select singularity.learn('pattern', 'retry-with-jitter',
    '{"when": "a call to another service fails", "do": "retry with backoff and jitter, at most five times"}',
    summary => 'Retry failing calls with backoff and jitter', tags => '{resilience,network}');
select name, content ->> 'do' as advice, summary, tags, origin, level, confidence, uses, stale
from singularity.lookup('pattern', 'retry-with-jitter');
select name, origin, score between 0 and 1 as scored from singularity.recall('how do I retry a failing call');
select name from singularity.recall('retry-with-jiter', kind => 'pattern', tags => '{network}', max_results => 1);
select count(*) from singularity.recall('unrelated zebra');

-- say how well it worked
select count(*) from generate_series(1, 10) as n, singularity.record_outcome('pattern', 'retry-with-jitter', n > 1);
select level, round(confidence::numeric, 3) as confidence, uses, success_rate
from singularity.lookup('pattern', 'retry-with-jitter');
call singularity.maintain();
select uses, successes, failures from singularity.evidence;
select count(*) from singularity.outcome;

-- change it, and nothing is lost
select singularity.learn('pattern', 'retry-with-jitter', '{"do": "retry three times"}');
select origin, content ->> 'do' as advice, forgotten, shared from singularity.history('pattern', 'retry-with-jitter');
select uses from singularity.lookup('pattern', 'retry-with-jitter');

-- many at once
select singularity.learn_many('[
    {"kind": "prompt", "name": "review", "content": {"text": "Review this diff."}},
    {"kind": "prompt", "name": "naming", "content": {"text": "Suggest a name."}, "shared": false}
]');
select singularity.learn_many('[
    {"kind": "prompt", "name": "review", "content": {"text": "Review this diff."}}
]');
select kind, name from singularity.recall('review this diff', max_results => 1);

-- forget
select singularity.forget('prompt', 'naming'), singularity.forget('prompt', 'naming');
select count(*) from singularity.lookup('prompt', 'naming');
select content is null as empty, forgotten from singularity.history('prompt', 'naming');

-- mistakes are told in words that lead to the mend
select singularity.learn('Pattern', 'x', '{}');
select singularity.learn('pattern', '', '{}');
select singularity.learn('pattern', 'x', null);
select singularity.learn('pattern', 'x', to_jsonb(repeat('x', 262144)));
\set VERBOSITY terse
select singularity.learn_many('[{"kind": "prompt", "name": "ok", "content": 1}, {"kind": "prompt", "tag": "x"}]');
\set VERBOSITY default
select singularity.learn_many('{}');
select count(*) from singularity.recall('');
select count(*) from singularity.recall('x', max_results => 1000000);
select singularity.record_outcome('pattern', 'unheard-of', true);
select singularity.connect('remote');
select singularity.configure(environment => 'moon');
call singularity.await_answer('00000000-0000-0000-0000-000000000000', '-1 second');
call singularity.await_answer('00000000-0000-0000-0000-000000000000');
begin;
call singularity.await_answer('00000000-0000-0000-0000-000000000000');
rollback;

-- connect: what is shared is queued; without a bridge nothing waits and nothing is asked
select instance_name ~ '^instance-[0-9a-f]{8}$' as named, environment, mode, online, outbox_entries from singularity.status();
select singularity.configure(instance_name => 'laptop', environment => 'ci', settings => '{"answer_ttl": "2 hours"}');
select singularity.connect();
select instance_name, environment, mode, online, outbox_entries, open_questions, cached_artifacts from singularity.status();
select record_type, variant is null as whole from singularity.outbox_entries order by version;
select singularity.ask('how to limit the rate of requests');
select singularity.follow('template'), singularity.unfollow('template');
select singularity.disconnect();
select mode, outbox_entries from singularity.status();
select name, value, default_value from singularity.configuration
where name in ('answer_ttl', 'environment', 'instance_name', 'mode') order by name;

-- a reader may look, and not touch; a stranger may do nothing
\set VERBOSITY sqlstate
set session authorization regress_singularity_reader;
select name from singularity.lookup('prompt', 'review');
select singularity.learn('pattern', 'x', '1');
delete from singularity.holding;
set session authorization regress_singularity_stranger;
select name from singularity.lookup('prompt', 'review');
\set VERBOSITY default

-- the id of an artifact is the same everywhere
reset session authorization;
select singularity.artifact_id('default', 'pattern', 'retry-with-jitter');

-- and away
drop extension singularity;
drop schema singularity;
drop role regress_singularity_admin, regress_singularity_reader, regress_singularity_stranger;
do $$
declare
    made text;
begin
    for made in
        select rolname from pg_roles where rolname ~ '^singularity_(reader|writer|bridge)$'
            and rolname <> all (current_setting('regress.groups_before')::text[])
    loop
        execute format('drop role %I', made);
    end loop;
end
$$;
