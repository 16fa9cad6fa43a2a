revoke all on @extschema@.signing_key from @extension@_reader, @extension@_bridge;
grant execute on function @extschema@.bridge_signing_keys to @extension@_bridge;
grant execute on function @extschema@.bridge_serve(text, bytea, jsonb) to @extension@_bridge;
grant execute on function @extschema@.public_key to @extension@_reader;
