-- What the authority gives back was said by this instance: each state that is sent bears a seal, which only who has the
-- secret can make, and nothing is restored without.

create or replace function singularity.seal_of(given singularity.wire_record) returns text
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    key constant singularity.seal_key := (select k from singularity.seal_key as k);
    -- not the content, whose hash is the variant, nor last_used_at, which the authority holds to its own clock
    said constant bytea := convert_to(jsonb_build_array(
        (singularity.present_identity()).instance_id, given.record_type, given.namespace, given.kind, given.name,
        given.version, coalesce(given.withdrawn_up_to, 0), given.variant, given.summary,
        coalesce(given.tags, '{}'), given.incarnation, given.uses, given.successes, given.failures
    )::text, 'UTF8');
begin
    return encode(sha256(key.outer_key || sha256(key.inner_key || said)), 'hex');
end
$$;

comment on function singularity.seal_of(singularity.wire_record)
is 'The seal of a state: HMAC with sha-256 (RFC 2104), by the secret of this instance, over its id and all that the authority may '
'give back; null before there is a secret.';

create or replace function singularity.ensure_seal_key() returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from singularity.seal_key) then
        return;
    end if;
    insert into singularity.seal_key (inner_key, outer_key)
    select singularity.padded_key(s.secret, 54), singularity.padded_key(s.secret, 92)
    from (select uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) as secret) as s
    on conflict do nothing;
end
$$;

comment on function singularity.ensure_seal_key() is 'Makes the secret of this instance, once.';

create or replace function singularity.padded_key(secret bytea, pad integer) returns bytea
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    padded bytea := decode(repeat(lpad(to_hex(pad), 2, '0'), 64), 'hex');
begin
    for i in 0 .. length(secret) - 1 loop
        padded := set_byte(padded, i, get_byte(secret, i) # pad);
    end loop;
    return padded;
end
$$;

comment on function singularity.padded_key(bytea, integer) is 'A key of at most 64 bytes as a hash of HMAC takes it.';
