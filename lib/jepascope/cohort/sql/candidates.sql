-- Reads encounter, the record tables, icd_map, drug_ingredient, lab and decile. Makes `candidate`: every token an
-- encounter could carry, with the parent that stands in where the token is too rare (null: none). Nothing here knows
-- the vocabulary.

create table diagnosis_category as
select subject_id, hadm_id, category_version, category, min(seq_num) as seq_num
from diagnoses_icd
join icd_map using (icd_version, icd_code)
group by subject_id, hadm_id, category_version, category
qualify row_number() over (partition by subject_id, hadm_id order by min(seq_num), category_version, category)
        <= getvariable('max_diagnoses');

create table drug_name as
select e.row_id, i.name, i.parent
from prescriptions p
join encounter e using (subject_id, hadm_id)
join drug_ingredient i using (drug)
-- A BASE only carries the drug.
where p.drug_type is distinct from 'BASE' and p.starttime <= e.dischtime
group by e.row_id, i.name, i.parent
qualify row_number() over (partition by row_id order by min(p.starttime), i.name) <= getvariable('max_drugs');

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
select distinct e.row_id, 'unit', 'UNIT//' || t.careunit, null
from transfers t
join encounter e using (subject_id, hadm_id)
where t.intime <= e.dischtime and t.careunit is not null
union all
select row_id, 'icu', 'ICU', null from encounter where icu
union all
select e.row_id, 'diagnosis', format('ICD{}//{}', d.category_version, d.category),
       format('ICD{}//{}-{}', d.category_version, c.first_category, c.last_category)
from diagnosis_category d
join encounter e using (subject_id, hadm_id)
left join icd_chapter c
    on c.icd_version = d.category_version and left(d.category, 3) between c.first_category and c.last_category
union all
-- The parent of a procedure: its section in ICD-10-PCS, its two digits in ICD-9-CM.
select distinct e.row_id, 'procedure', format('PROC{}//{}', p.icd_version, left(bare_code(p.icd_code), 3)),
       format('PROC{}//{}', p.icd_version, left(bare_code(p.icd_code), if(p.icd_version = 10, 1, 2)))
from procedures_icd p
join encounter e using (subject_id, hadm_id)
where p.chartdate <= e.dischtime::date
union all
-- Version and severity are in the type and the code; a group is billed once, and known at discharge at the earliest.
select distinct e.row_id, 'drg', format('DRG//{}//{}', g.drg_type, g.drg_code), null
from drgcodes g
join encounter e using (subject_id, hadm_id)
where getvariable('drg_codes') and g.drg_type is not null and g.drg_code is not null
union all
select row_id, 'drug', 'DRUG//' || name, 'DRUGCLASS//' || parent from drug_name
union all
select row_id, 'lab', format('LAB//{}//{}', itemid, level), format('LAB//{}', itemid) from lab_token
union all
-- Events of a MEDS source that have no table of their own.
select distinct e.row_id, 'other', 'CODE//' || o.code, null
from other_events o
join encounter e using (subject_id, hadm_id)
where o.time <= e.dischtime
union all
select row_id, 'closing',
       case when los_days < 1 then 'LOS//0-1' when los_days < 2 then 'LOS//1-2' when los_days < 4 then 'LOS//2-4'
            when los_days < 7 then 'LOS//4-7' when los_days < 14 then 'LOS//7-14' when los_days < 30 then 'LOS//14-30'
            else 'LOS//30+' end, null
from encounter where getvariable('closing_block')
union all
select row_id, 'closing', 'TO//' || discharge_location, null
from encounter where getvariable('closing_block') and discharge_location is not null;
