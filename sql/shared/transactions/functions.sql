-- PL/Python, since only there a commit that is not possible can be caught
create or replace procedure @extschema@.try_commit(inout committed boolean)
language plpython3u
as $$
    try:
        plpy.commit()
    except plpy.spiexceptions.InvalidTransactionTermination:
        return (False,)
    return (True,)
$$;

comment on procedure @extschema@.try_commit(boolean)
is 'Commits and returns true, or returns false inside a transaction block, where a procedure may not.';
