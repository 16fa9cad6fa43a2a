-- Both extensions install side by side, with what they need, and leave again.
set client_min_messages = warning;
create extension singularity cascade;
create extension centralcloud cascade;
select extname, nspname from pg_extension join pg_namespace n on n.oid = extnamespace
where extname in ('singularity', 'centralcloud') order by extname;
drop extension centralcloud;
drop extension singularity;
