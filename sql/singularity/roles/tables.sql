-- Group roles belong to the cluster, not to the extension: they are made when missing and outlive it.
do $$
declare
    role_name text;
begin
    foreach role_name in array array['singularity_reader', 'singularity_writer', 'singularity_bridge'] loop
        if not exists (select from pg_catalog.pg_roles as r where r.rolname = role_name) then
            execute pg_catalog.format('create role %I nologin', role_name);
            execute pg_catalog.format('comment on role %I is %L', role_name, case role_name
                when 'singularity_reader' then 'May look up, recall and ask in singularity databases.'
                when 'singularity_writer' then 'May also learn, record outcomes, forget, follow, connect and configure.'
                else 'The bridge of a singularity database.'
            end);
        end if;
    end loop;
    grant singularity_reader to singularity_writer;
end
$$;

comment on schema singularity is 'What this machine knows and how it shares it; call its functions, read its tables and views.';
