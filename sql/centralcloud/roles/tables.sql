-- Group roles belong to the cluster, not to the extension: they are made when missing and outlive it.
do $$
declare
    role_name text;
begin
    foreach role_name in array array['centralcloud_reader', 'centralcloud_curator', 'centralcloud_bridge'] loop
        if not exists (select from pg_catalog.pg_roles as r where r.rolname = role_name) then
            execute pg_catalog.format('create role %I nologin', role_name);
            execute pg_catalog.format('comment on role %I is %L', role_name, case role_name
                when 'centralcloud_reader' then 'May search and read the centralcloud database.'
                when 'centralcloud_curator' then 'May also configure and curate the centralcloud database.'
                else 'The bridge of the centralcloud database.'
            end);
        end if;
    end loop;
    grant centralcloud_reader to centralcloud_curator;
end
$$;

comment on schema centralcloud is 'What the authority knows and who contributed it; call its functions, read its tables and views.';
