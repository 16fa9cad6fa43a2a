create sequence singularity.version;

comment on sequence singularity.version
is 'The one counter of this instance: numbers every state of a holding or of evidence and every outcome.';

select pg_catalog.pg_extension_config_dump('singularity.version', '');

create table singularity.identity (
    only_row boolean primary key default true check (only_row),
    instance_id uuid not null,
    mark text not null,
    incarnation uuid not null,
    created_at timestamptz not null default now(),
    past_incarnations uuid[] not null default '{}',
    server_start timestamptz,
    known_version bigint not null default 0,
    restoring boolean not null default false
);

comment on table singularity.identity
is 'Who this database is, written at the first connect; before, it follows from the mark of the database.';
comment on column singularity.identity.only_row is 'Always true: there is one row at most.';
comment on column singularity.identity.instance_id is 'Stable id of the instance; restored with a dump.';
comment on column singularity.identity.mark is 'The database that this identity belongs to, see database_mark().';
comment on column singularity.identity.incarnation is 'One unbroken life of the database: a restored or copied one begins another.';
comment on column singularity.identity.past_incarnations is 'The incarnations before it.';
comment on column singularity.identity.server_start
is 'Start of the server for which the authority has confirmed that this incarnation goes on; null before the first.';
comment on column singularity.identity.known_version is 'The greatest version that the authority knew when it last said so.';
comment on column singularity.identity.restoring
is 'Whether the authority knows states of a later incarnation that are being restored; nothing is sent meanwhile.';
comment on column singularity.identity.created_at is 'When the row was written.';

select pg_catalog.pg_extension_config_dump('singularity.identity', '');
