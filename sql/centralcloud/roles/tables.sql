-- Group roles belong to the cluster, not to the extension: they are made when missing and outlive it.
do $$
declare
    role_name text;
    purpose text;
begin
    for role_name, purpose in values
        ('centralcloud_owner', 'Owns the objects of centralcloud databases; nobody logs in as it.'),
        ('centralcloud_reader', 'May search and read the centralcloud database.'),
        ('centralcloud_curator', 'May also curate the centralcloud database.'),
        ('centralcloud_admin', 'May also configure and maintain the centralcloud database.'),
        ('centralcloud_bridge', 'The bridge of the centralcloud database: calls its functions and reads nothing.')
    loop
        if not exists (select from pg_catalog.pg_roles as r where r.rolname = role_name) then
            execute pg_catalog.format('create role %I nologin', role_name);
        end if;
        -- only where it differs: databases of one server may be installed at the same time
        if pg_catalog.shobj_description(role_name::pg_catalog.regrole, 'pg_authid') is distinct from purpose then
            execute pg_catalog.format('comment on role %I is %L', role_name, purpose);
        end if;
    end loop;
    if exists (
        select from pg_catalog.pg_roles as r where r.rolname = 'centralcloud_owner' and (r.rolcanlogin or r.rolsuper)
    ) then
        raise exception using errcode = 'object_not_in_prerequisite_state',
            message = 'the role centralcloud_owner can log in or is a superuser',
            hint = 'ALTER ROLE centralcloud_owner NOLOGIN NOSUPERUSER.';
    end if;
    grant centralcloud_reader to centralcloud_curator;
    grant centralcloud_curator to centralcloud_admin;
end
$$;

comment on schema centralcloud is 'What the authority knows and who contributed it; call its functions, read its tables and views.';
