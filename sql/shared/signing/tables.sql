create table @extschema@.signing_key (
    signing_key_id bigint generated always as identity primary key,
    seed bytea not null check (octet_length(seed) = 32),
    public_key text,
    made_at timestamptz not null default now()
);

comment on table @extschema@.signing_key
is 'The ed25519 keys that messages of this database are signed with: the greatest number is the present one, those before it '
'are former ones that vouch for it. Nobody may read it.';
comment on column @extschema@.signing_key.signing_key_id is 'Number of the key.';
comment on column @extschema@.signing_key.seed is 'The secret: 32 bytes from which the key pair follows.';
comment on column @extschema@.signing_key.public_key is 'The public key as an nkey; null until the bridge has computed it.';
comment on column @extschema@.signing_key.made_at is 'When the key was made.';

select pg_catalog.pg_extension_config_dump('@extschema@.signing_key', '');
select pg_catalog.pg_extension_config_dump('@extschema@.signing_key_signing_key_id_seq', '');

-- a count, not data: it is not dumped
create table @extschema@.rejection (
    reason text primary key,
    messages bigint not null,
    rejected_at timestamptz not null,
    subject text,
    signer text
);

comment on table @extschema@.rejection
is 'Messages that were not authentic and so were dropped, counted by reason. A message leaves nothing else behind.';
comment on column @extschema@.rejection.reason
is 'signature (broken), unsigned, key (signed by another one than the sender''s), unknown (no key of the sender is known and none '
'is taken), retired, inbox (the reply was to go elsewhere than to the sender), request (a reply to none of ours) or subject (not a '
'message of that subject).';
comment on column @extschema@.rejection.messages is 'How many there were.';
comment on column @extschema@.rejection.rejected_at is 'When the last one came.';
comment on column @extschema@.rejection.subject is 'Subject of the last one; null where only the bridge saw it.';
comment on column @extschema@.rejection.signer is 'Public key that had signed the last one; null for none.';
