-- Reads the variables seed, patients, admitted and rows_<table>. Makes what every table draws from: `patient` and
-- `admission` in the order of subject_id, and the dictionaries `icd`, `procedure_code`, `drug` and `lab_item`.
-- Randomness is a hash of who and what, so that any row can be made without the rows before it.

create macro u(who, what) as (hash(who, what, getvariable('seed')) >> 11) / 9007199254740992.0;
create macro normal(who, what) as sqrt(-2 * ln(1 - u(who, what))) * cos(2 * pi() * u(what, who));
create macro pick(items, v) as items[1 + floor(v * len(items))::int];
-- Rank 1 … n with probability ∝ 1 / rank.
create macro zipf(n, v) as floor(pow(n + 1, v))::int;
-- Deals out exactly `rows` in proportion to integer weights, in the order of i: floors of a running share.
create macro dealt(rows, weight, i) as (
    (sum(weight) over (order by i)) * rows // greatest(sum(weight) over (), 1)
    - (sum(weight) over (order by i) - weight) * rows // greatest(sum(weight) over (), 1)
)::bigint;
create macro later(t, days) as (t + to_seconds((days * 86400.0)::bigint))::timestamp_s;
create macro minute(t) as date_trunc('minute', t)::timestamp_s;

create table patient as
with counted as (
    select i, 10000000 + i * 27 + (hash(i, 'id') % 27)::bigint as subject_id,
           -- The admitted ones are spread evenly, and are exactly `admitted`.
           ((i + 1) * getvariable('admitted') // getvariable('patients')
            - i * getvariable('admitted') // getvariable('patients'))::bigint as is_admitted
    from range(getvariable('patients')) t(i)
)
select *,
       -- Long tail: half come once, a few a hundred times (Lomax weights for those who come back).
       is_admitted + dealt(getvariable('rows_admissions') - getvariable('admitted'),
                           is_admitted * (u(subject_id, 'returns') < 0.55)::int
                           * (1e4 * (pow(1 - u(subject_id, 'tail'), -0.4) - 1))::bigint, i) as n_admissions,
       if(u(subject_id, 'gender') < 0.52, 'F', 'M') as gender,
       greatest(18, least(91, round(57 + 19 * normal(subject_id, 'age'))))::int as anchor_age,
       (365.25 * (95 + floor(90 * u(subject_id, 'shift'))))::int as shift_days
from counted
order by i;

create table admission as
with drawn as (
    select patient.*, unnest(range(n_admissions)) as j from patient
),
lasting as (
    select *, subject_id * 512 + j as seed_id,
           least(150, exp(1.15 + 0.95 * normal(seed_id, 'los'))) as los_days,
           case when j = 0 then 0 when u(seed_id, 'linked') < 0.03 then u(seed_id, 'gap')
                else exp(4.5 + 1.5 * normal(seed_id, 'gap')) end as raw_gap
    from drawn
),
fitted as (
    -- Whoever comes a hundred times comes back sooner: all of a life is within the years of the release.
    select *, raw_gap * least(1, 3500 / greatest(1, sum(raw_gap) over life)) as gap_days
    from lasting window life as (partition by subject_id)
),
placed as (
    select *, sum(gap_days + los_days) over life as span_days,
           coalesce(sum(gap_days + los_days) over so_far, 0) + gap_days as day
    from fitted
    window life as (partition by subject_id),
           so_far as (partition by subject_id order by j rows between unbounded preceding and 1 preceding)
),
dated as (
    select *, minute(later(timestamp_s '2008-01-01 00:00:00',
                           u(subject_id, 'first') * greatest(1, 5300 - span_days) + day)) as real_admittime
    from placed
)
select row_number() over (order by i, j) as a, 20000000 + a * 18 + (hash(a, 'id') % 18)::bigint as hadm_id,
       subject_id, i, j, seed_id, los_days, gender, anchor_age, shift_days, real_admittime,
       later(real_admittime, shift_days) as admittime,
       -- A few discharges precede their admission, as they do in the original.
       minute(later(admittime, if(u(seed_id, 'reversed') < 0.0003, -0.1, los_days))) as dischtime,
       if(real_admittime < timestamp '2015-10-01', 9, 10) as icd_version,
       j = n_admissions - 1 and u(seed_id, 'died') < 0.05 as died,
       pick(['EW EMER.', 'EW EMER.', 'EW EMER.', 'EW EMER.', 'EW EMER.', 'EW EMER.', 'EU OBSERVATION',
             'EU OBSERVATION', 'EU OBSERVATION', 'EU OBSERVATION', 'OBSERVATION ADMIT', 'OBSERVATION ADMIT',
             'OBSERVATION ADMIT', 'URGENT', 'URGENT', 'SURGICAL SAME DAY ADMISSION', 'DIRECT EMER.',
             'DIRECT OBSERVATION', 'ELECTIVE', 'AMBULATORY OBSERVATION'], u(seed_id, 'type')) as admission_type
from dated
order by a;

-- The commonest codes are real ones, so that mappings and psychiatric groups have work; the tail has their shape.
create table icd as
with head as (
    select 9 as icd_version, ['4019', '2724', '53081', '25000', '42731', '311', '4280', '5849', '2449', '3051', '2859',
        '41401', '30000', 'V1582', 'V5867', '5990', '496', '49390', 'V5861', '32723', '2720', '5859', '40390',
        '486', '29620', '30500', '29590', '30981', 'E8788', '30401', 'V6284', '29680', '0389', '99592'] as codes
    union all
    select 10, ['I10', 'E785', 'Z87891', 'K219', 'F329', 'F419', 'I2510', 'N179', 'Z7901', 'E039', 'E119', 'G4733',
        'I4891', 'D649', 'J449', 'F17210', 'J45909', 'N189', 'Z794', 'F1020', 'D62', 'I5032', 'A419', 'F4310', 'F319',
        'F1120', 'F209', 'R45851', 'F0390', 'Y929', 'N390', 'J9601', 'E876', 'F3181']
),
tail as (
    select icd_version, codes, rank, u(rank, icd_version) as v, u(icd_version, rank) as w
    from head, range(1, 6001) t(rank)
)
select icd_version, rank,
       case when rank <= len(codes) then codes[rank]
            when icd_version = 10
            then pick(string_split('ABCDEFGHIIJKLMNOQRSTYZ', ''), v) || lpad((w * 99)::int::text, 2, '0')
                 || left((hash(rank, 10) % 1000)::text, (rank % 4)::int)
            when v < 0.12 then 'V' || lpad((1 + w * 88)::int::text, 2, '0') || (rank % 10)
            when v < 0.15 then 'E' || (800 + w * 199)::int || (rank % 10)
            else lpad((1 + w * 997)::int::text, 3, '0') || left((hash(rank, 9) % 100)::text, (rank % 3)::int) end as icd_code
from tail;

create table procedure_code as
select version.icd_version, rank,
       if(version.icd_version = 9, lpad((hash(rank, 'p9') % 10000)::text, 3 + (rank % 2)::int, '0'),
          pick(['0', '0', '0', '3', '4', '5', 'B'], u(rank, 'section'))
          || left(upper(md5(rank::text)), 6)) as icd_code
from (values (9), (10)) version(icd_version), range(1, 3001) t(rank);

create table drug as
with named as (
    select rank, ['Sodium Chloride 0.9%  Flush', '0.9% Sodium Chloride', 'Insulin', 'Acetaminophen', 'Heparin',
        'Potassium Chloride', '5% Dextrose', 'Furosemide', 'Magnesium Sulfate', 'Metoprolol Tartrate', 'Docusate Sodium',
        'HYDROmorphone (Dilaudid)', 'Senna', 'Ondansetron', 'Pantoprazole', 'OxyCODONE (Immediate Release) ', 'Lorazepam',
        'Aspirin', 'Vancomycin', 'Morphine Sulfate', 'Bisacodyl', 'Calcium Gluconate', 'LR', 'Iso-Osmotic Dextrose',
        'Atorvastatin', 'Lisinopril', 'Gabapentin', 'QUEtiapine Fumarate', 'Warfarin', 'Ipratropium-Albuterol Neb',
        'TraZODone', 'Sertraline', 'CefTRIAXone', 'Levothyroxine Sodium', 'Polyethylene Glycol', 'Famotidine', 'Haloperidol',
        'Lithium Carbonate', 'OLANZapine', 'Prednisone', 'Simvastatin', 'Amlodipine', 'Omeprazole', 'Piperacillin-Tazobactam',
        'Multivitamins', 'FoLIC Acid', 'Thiamine', 'Nicotine Patch', 'Diazepam', 'Methadone', 'Buprenorphine-Naloxone',
        'Citalopram', 'Divalproex (DELayed Release)', 'ClonazePAM', 'BuPROPion XL (Once Daily)'] as names,
        ['am', 'bex', 'cor', 'dil', 'ef', 'fen', 'gal', 'lor', 'mab', 'nix', 'ol', 'pra', 'rit', 'sul', 'tor', 'vi'] as parts
    from range(1, 3001) t(rank)
),
spelt as (
    -- 800 ingredients, of which the rarer ones are spelt in several strengths and forms.
    select *, 1 + (rank - 1) % 800 as ingredient,
           if(ingredient <= len(names), names[ingredient],
              upper(left(pick(parts, u(ingredient, 1)), 1)) || substr(pick(parts, u(ingredient, 1)), 2)
              || pick(parts, u(ingredient, 2)) || pick(parts, u(ingredient, 3))
              || pick(['ine', 'ol', 'ide', 'ate', 'in'], u(ingredient, 4))) as name
    from named
)
select rank, (hash(rank, 'code') % 10000)::text as formulary, lpad((hash(rank, 'gsn') % 80000)::text, 6, '0') as gsn,
       lpad((hash(rank, 'ndc') % 99999999999)::text, 11, '0') as ndc,
       pick([5, 10, 20, 25, 40, 50, 100, 250, 325, 500], u(rank, 'strength')) as dose,
       pick(['mg', 'mg', 'mg', 'mL', 'mEq', 'UNIT'], u(rank, 'unit')) as unit,
       pick(['TAB', 'CAP', 'VIAL', 'BAG', 'SYR'], u(rank, 'form')) as form,
       pick(['PO', 'PO', 'PO/NG', 'IV', 'IV', 'IV DRIP', 'SC'], u(rank, 'route')) as route,
       if(rank <= 800, name, format('{} {} {} {}', name, dose, unit, pick(['Tablet', 'Oral Soln', 'Inj', 'Patch'],
                                                                         u(rank, 'suffix')))) as drug
from spelt;

create table lab_item as
select rank, 50800 + rank * 3 as itemid,
       round(exp(1 + 5 * u(rank, 'scale')), 1) as middle,
       pick(['mg/dL', 'mEq/L', 'K/uL', 'g/dL', '%', 'IU/L', null], u(rank, 'unit')) as unit,
       pick(['Chemistry', 'Hematology', 'Blood Gas'], u(rank, 'category')) as category
from range(1, 1001) t(rank);
