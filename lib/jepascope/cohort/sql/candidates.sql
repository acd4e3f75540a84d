-- Reads encounter, the record tables, lab and decile. Makes `candidate`: every token an encounter could carry, with
-- the parent that stands in where the token is too rare (null: none). Nothing here knows the vocabulary.

create table diagnosis_category as
with cut as (
    -- ICD-10 and numeric ICD-9 categories have 3 characters; E- and V-codes of ICD-9 are told apart by 4.
    select hadm_id, icd_version, seq_num,
           left(icd_code, if(icd_version = 9 and regexp_matches(icd_code, '^[EV]'), 4, 3)) as category
    from diagnoses_icd
)
select hadm_id, icd_version, category, min(seq_num) as seq_num
from cut
group by hadm_id, icd_version, category
qualify row_number() over (partition by hadm_id order by min(seq_num), category) <= getvariable('max_diagnoses');

create table drug_name as
with named as (
    -- The first word of letters is ingredient-like: "0.9% Sodium Chloride" is sodium. A BASE only carries the drug.
    select e.row_id, regexp_extract(lower(p.drug), '[a-z][a-z-]{2,}') as name, p.starttime
    from prescriptions p
    join encounter e using (subject_id, hadm_id)
    where p.drug_type is distinct from 'BASE' and p.starttime <= e.dischtime
)
select row_id, name
from named
where name != ''
group by row_id, name
qualify row_number() over (partition by row_id order by min(starttime), name) <= getvariable('max_drugs');

create table lab_token as
with ranked as (
    -- Middle rank, so that an item that is nearly always 0 falls in the middle and not in a tail.
    select row_id, itemid, abnormal, value is not null and cuts is not null as has_decile,
           1 + (len(list_filter(cuts, lambda c: c < value)) + len(list_filter(cuts, lambda c: c <= value))) // 2 as q
    from lab
    left join decile using (itemid)
)
select row_id, itemid, if(has_decile, 'Q' || q, 'abnormal') as level
from ranked
where if(has_decile, q <= getvariable('lab_tail_deciles') or q > 10 - getvariable('lab_tail_deciles'), abnormal);

create table candidate as
select row_id, 'sex' as kind, 'SEX//' || gender as token, null as parent from encounter
union all
select row_id, 'age',
       case when age < 18 then 'AGE//0-17' when age < 30 then 'AGE//18-29' when age >= 90 then 'AGE//90+'
            else format('AGE//{}-{}', age // 10 * 10, age // 10 * 10 + 9) end, null
from encounter
union all
select row_id, 'admission', 'TYPE//' || admission_type, null from encounter
union all
select row_id, 'admission', 'FROM//' || admission_location, null from encounter where admission_location is not null
union all
select distinct e.row_id, 'service', 'SERVICE//' || s.curr_service, null
from services s
join encounter e using (subject_id, hadm_id)
where s.transfertime <= e.dischtime and s.curr_service is not null
union all
select row_id, 'icu', 'ICU', null from encounter where icu
union all
select e.row_id, 'diagnosis', format('ICD{}//{}', d.icd_version, d.category),
       format('ICD{}//{}-{}', d.icd_version, c.first_category, c.last_category)
from diagnosis_category d
join encounter e using (hadm_id)
left join icd_chapter c
    on c.icd_version = d.icd_version and left(d.category, 3) between c.first_category and c.last_category
union all
select distinct e.row_id, 'procedure', format('PROC{}//{}', p.icd_version, left(p.icd_code, 3)), null
from procedures_icd p
join encounter e using (subject_id, hadm_id)
where p.chartdate <= e.dischtime::date
union all
select row_id, 'drug', 'DRUG//' || name, null from drug_name
union all
select row_id, 'lab', format('LAB//{}//{}', itemid, level), format('LAB//{}', itemid) from lab_token
union all
select row_id, 'closing',
       case when los_days < 1 then 'LOS//0-1' when los_days < 2 then 'LOS//1-2' when los_days < 4 then 'LOS//2-4'
            when los_days < 7 then 'LOS//4-7' when los_days < 14 then 'LOS//7-14' when los_days < 30 then 'LOS//14-30'
            else 'LOS//30+' end, null
from encounter where getvariable('closing_block')
union all
select row_id, 'closing', 'TO//' || discharge_location, null
from encounter where getvariable('closing_block') and discharge_location is not null;
