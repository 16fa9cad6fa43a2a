-- Group roles belong to the cluster, not to the extension: they are made when missing and outlive it.
do $$
declare
    role_name text;
    purpose text;
begin
    for role_name, purpose in values
        ('singularity_owner', 'Owns the objects of singularity databases; nobody logs in as it.'),
        ('singularity_reader', 'May look up, recall and ask in singularity databases.'),
        ('singularity_writer', 'May also learn, record outcomes, forget and follow.'),
        ('singularity_admin', 'May also configure, connect, and say which instance a database is.'),
        ('singularity_bridge', 'The bridge of a singularity database: calls its functions and reads nothing.')
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
        select from pg_catalog.pg_roles as r where r.rolname = 'singularity_owner' and (r.rolcanlogin or r.rolsuper)
    ) then
        raise exception using errcode = 'object_not_in_prerequisite_state',
            message = 'the role singularity_owner can log in or is a superuser',
            hint = 'ALTER ROLE singularity_owner NOLOGIN NOSUPERUSER.';
    end if;
    grant singularity_reader to singularity_writer;
    grant singularity_writer to singularity_admin;
end
$$;

comment on schema singularity is 'What this machine knows and how it shares it; call its functions, read its tables and views.';
