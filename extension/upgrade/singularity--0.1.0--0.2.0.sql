-- what changed its signature or is gone
drop function singularity.status();
drop function singularity.backfill();
drop function singularity.make_withdrawn_evidence_private(uuid[]);

alter table singularity.identity
    add column past_incarnations uuid[] not null default '{}',
    add column server_start timestamptz,
    add column known_version bigint not null default 0,
    add column restoring boolean not null default false;

comment on column singularity.identity.mark is 'The database that this identity belongs to, see database_mark().';
comment on column singularity.identity.past_incarnations is 'The lives before it.';
comment on column singularity.identity.server_start
is 'Start of the server for which the authority has confirmed that this life goes on; null before the first.';
comment on column singularity.identity.known_version is 'The greatest version that the authority knew when it last said so.';
comment on column singularity.identity.restoring
is 'Whether the authority knows states of a later life that are being taken back; nothing is sent meanwhile.';

update singularity.identity as i set past_incarnations = array(
    select e.incarnation from singularity.evidence as e where e.incarnation <> i.incarnation
    union
    select o.incarnation from singularity.outcome as o where o.incarnation <> i.incarnation
);

alter table singularity.holding add column incarnation uuid;
comment on column singularity.holding.incarnation
is 'The life of this database in which it was learned; null when it was taken back from the authority.';

alter table singularity.central_copy add column unknown boolean not null default false;
comment on column singularity.central_copy.unknown
is 'Whether the authority did not know it when the topic was last compared: it is stale.';

alter table singularity.shipment add column failure text;
comment on column singularity.shipment.failure is 'What the broker said then.';

alter table singularity.delivery add column stored_version bigint not null default 0;
comment on column singularity.delivery.stored_version
is 'The greatest version that the authority has, as far as it said; 0 for none.';
update singularity.delivery set stored_version = confirmed_version where verdict in ('stored', 'superseded');

alter table singularity.authority
    add column session_id uuid not null default gen_random_uuid(),
    add column stream_awaited bigint,
    add column twin_at timestamptz;
comment on column singularity.authority.session_id
is 'Id of the present life of the bridge: by it the authority notices two databases under one name.';
comment on column singularity.authority.stream_awaited
is 'Up to which number of the stream the authority must have read before it knows all that this instance ever sent.';
comment on column singularity.authority.twin_at
is 'Since when the authority hears two databases speak as this instance; null for not.';

-- include singularity/reconciliation/tables.sql
