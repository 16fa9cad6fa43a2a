create type @extschema@.refusal as (
    error_code text,
    reason text,
    hint text
);

comment on type @extschema@.refusal is 'Why something is not valid: what the functions …_refusal() return, null where nothing is wrong.';
comment on column @extschema@.refusal.error_code is 'SQLSTATE of the error that raise_refusal() raises.';
comment on column @extschema@.refusal.reason is 'What is wrong, with the value.';
comment on column @extschema@.refusal.hint is 'What is valid.';
