-- Reads meds_written (all events). Makes the view `meds_described`: each code with its parents in the vocabularies that
-- other tools know, ICD with its dot (after 3 characters, after 4 in ICD-9's E-codes, after 2 in its procedures).

create or replace view meds_described as
with found as (
    select distinct code, string_split(code, '//') as part from meds_written
),
cut as (
    select code, part[1] as kind, part[3] as version, part[4] as icd_code,
           case when kind = 'PROCEDURE' then 2 when version = '9' and icd_code like 'E%' then 4 else 3 end as stem
    from found
),
named as (
    select code,
           case when kind = 'DIAGNOSIS' then format('ICD{}CM/', version)
                when kind = 'PROCEDURE' and version = '9' then 'ICD9Proc/'
                when kind = 'PROCEDURE' and version = '10' then 'ICD10PCS/' end as vocabulary,
           if(vocabulary = 'ICD10PCS/' or len(icd_code) <= stem, icd_code,
              icd_code[:stem] || '.' || icd_code[stem + 1:]) as dotted
    from cut
)
select code, null::varchar as description, if(vocabulary is null, null, [vocabulary || dotted]) as parent_codes
from named;
