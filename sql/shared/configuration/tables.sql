-- Settings that a user has changed; the defaults live in setting_definitions().
create table @extschema@.setting (
    name text primary key,
    value text not null,
    changed_at timestamptz not null default now()
);

comment on table @extschema@.setting is 'Settings that were changed; see the view configuration for all of them.';
comment on column @extschema@.setting.name is 'Name of the setting, one of setting_definitions().';
comment on column @extschema@.setting.value is 'Value as text, castable to the type of the setting.';
comment on column @extschema@.setting.changed_at is 'When the setting was last changed.';

select pg_catalog.pg_extension_config_dump('@extschema@.setting', '');
