-- Reads diagnoses_icd and the reference patterns. Makes `code_meaning`: what each distinct code says.
-- Codes repeat thousands of times, and a pattern costs: each code is matched once, and joined from then on.

create table code_meaning as
with code as (select distinct icd_version, icd_code, bare_code(icd_code) as bare from diagnoses_icd),
meaning as (
    select icd_version, name, pattern from concept_group
    union all
    select icd_version, 'f_code', pattern from f_code
    union all
    select icd_version, 'crisis', pattern from crisis_code
)
select code.icd_version, code.icd_code, meaning.name
from code
join meaning on meaning.icd_version = code.icd_version and regexp_matches(bare, '^(' || pattern || ')');
