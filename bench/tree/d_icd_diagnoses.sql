-- What a diagnosis code says.
select distinct icd_code, icd_version, 'Diagnosis ' || icd_code as long_title from icd order by all
