grant execute on function @extschema@.relevance(double precision, double precision, double precision, boolean)
to @extension@_reader;
