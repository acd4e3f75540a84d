-- Reads gem (General Equivalence Mappings of CMS, ICD-9-CM to ICD-10-CM, as published) and diagnoses_icd. Makes
-- `icd_map`: the category of each distinct code, a row each where it takes several, and how it was found (map_kind).

-- A category is what a token keeps: 3 characters; E- and V-codes of ICD-9 are told apart by 4.
create macro icd_category(version, code) as left(code, if(version = 9 and regexp_matches(code, '^[EV]'), 4, 3));

-- The rows of an ICD-9 code are alternatives, unless they make a combination: then a scenario is an alternative, and
-- takes one row of each of its choice lists. Alternatives that differ in what they take leave the code ambiguous.
create table gem_category as
with choice as (
    select icd9cm, scenario, choice_list, min(icd_category(10, icd10cm)) as category,
           count(distinct icd_category(10, icd10cm)) > 1 as open,
           bool_or(approximate = '1') as approximate, bool_or(no_map = '1') as no_map
    from gem
    group by icd9cm, scenario, choice_list
),
alternative as (
    select icd9cm, list_sort(list(distinct category)) as categories, bool_or(open) as open,
           bool_or(approximate) as approximate, bool_or(no_map) as no_map
    from choice
    group by icd9cm, scenario
)
select icd9cm, min(categories) as categories,
       case when bool_or(no_map) then 'unmapped'
            when bool_or(open) or count(distinct categories) > 1 then 'ambiguous'
            when len(min(categories)) > 1 then 'combination'
            when bool_or(approximate) then 'category'
            else 'exact' end as map_kind
from alternative
group by icd9cm;

create table icd_map as
with code as (select distinct icd_version, icd_code, bare_code(icd_code) as bare from diagnoses_icd),
sorted as (
    select icd_version, icd_code, bare, categories,
           if(icd_version = 10, 'native', coalesce(map_kind, 'unmapped')) as map_kind,
           getvariable('map_icd9') and coalesce(map_kind in ('exact', 'category', 'combination'), false) as crosses
    from code
    left join gem_category on icd_version = 9 and bare = icd9cm
)
select icd_version, icd_code, if(crosses, 10, icd_version) as category_version,
       unnest(if(crosses, categories, [icd_category(icd_version, bare)])) as category, map_kind
from sorted;
