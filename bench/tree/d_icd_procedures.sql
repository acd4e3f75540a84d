-- What a procedure code says.
select distinct icd_code, icd_version, 'Procedure ' || icd_code as long_title from procedure_code order by all
