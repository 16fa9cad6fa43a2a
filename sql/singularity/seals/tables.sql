create table singularity.seal_key (
    only_row boolean primary key default true check (only_row),
    inner_key bytea not null,
    outer_key bytea not null
);

comment on table singularity.seal_key
is 'The secret of this instance, by which it knows again what it said itself: one row, made with the first seal. Nobody reads it; '
'a dump keeps it, and a restored instance with it.';
comment on column singularity.seal_key.only_row is 'Always true: there is one row at most.';
comment on column singularity.seal_key.inner_key is 'The secret as the inner hash of HMAC takes it: each byte xor 0x36, in 64 bytes.';
comment on column singularity.seal_key.outer_key is 'The secret as the outer hash of HMAC takes it: each byte xor 0x5c, in 64 bytes.';

select pg_catalog.pg_extension_config_dump('singularity.seal_key', '');
