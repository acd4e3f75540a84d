-- Makes the fixed tables that the other files join: what an admission type means, which codes make a concept group,
-- which chapter a rare code falls back to, and the order of token kinds within an encounter.

-- acuity: 0 observation, 1 elective, 2 urgent or emergency inpatient (3 is ICU and 4 death, seen elsewhere).
create or replace table admission_kind as
select * from (values
    ('EU OBSERVATION',              0, true),
    ('OBSERVATION ADMIT',           0, true),
    ('DIRECT OBSERVATION',          0, true),
    ('AMBULATORY OBSERVATION',      0, false),
    ('ELECTIVE',                    1, false),
    ('SURGICAL SAME DAY ADMISSION', 1, false),
    ('URGENT',                      2, true),
    ('DIRECT EMER.',                2, true),
    ('EW EMER.',                    2, true),
    -- Not MIMIC-IV's: a MEDS source with types of its own, or none. Its returns count whatever their cause.
    ('UNKNOWN',                     2, true)
) as t (admission_type, acuity, unplanned);

-- A code belongs to a group when it starts with the pattern. ICD-10-CM by 3-character category, ICD-9-CM by range.
create or replace table concept_group as
select * from (values
    (1,  'psychotic',         10, 'F2[0-9]'),
    (1,  'psychotic',          9, '295|297|298'),
    (2,  'depressive',        10, 'F3[2-4]'),
    (2,  'depressive',         9, '2962|2963|3004|311'),
    (3,  'bipolar',           10, 'F3[01]'),
    (3,  'bipolar',            9, '296[014-8]'),
    (4,  'anxiety',           10, 'F4[01]'),
    (4,  'anxiety',            9, '3000|3002'),
    (5,  'ocd',               10, 'F42'),
    (5,  'ocd',                9, '3003'),
    (6,  'trauma',            10, 'F43'),
    (6,  'trauma',             9, '308|309'),
    (7,  'personality',       10, 'F60'),
    (7,  'personality',        9, '301'),
    (8,  'alcohol',           10, 'F10'),
    (8,  'alcohol',            9, '291|303|3050'),
    (9,  'opioid',            10, 'F11'),
    (9,  'opioid',             9, '3040|3047|3055'),
    (10, 'stimulant',         10, 'F1[45]'),
    (10, 'stimulant',          9, '304[24]|305[67]'),
    (11, 'other_substance',   10, 'F1[23689]'),
    (11, 'other_substance',    9, '292|304[135689]|305[23489]'),
    (12, 'tobacco',           10, 'F17'),
    (12, 'tobacco',            9, '3051'),
    (13, 'neurocognitive',    10, 'F0[1-9]'),
    (13, 'neurocognitive',     9, '290|293|294|310'),
    (14, 'eating',            10, 'F50'),
    (14, 'eating',             9, '3071|3075'),
    (15, 'neurodevelopmental',10, 'F[78][0-9]|F90'),
    (15, 'neurodevelopmental', 9, '299|31[457-9]'),
    -- Suicidal ideation, attempt, intentional self-harm; poisoning and asphyxiation by their intent character (2).
    (16, 'self_harm',         10, 'R45851|T1491|X7[1-9]|X8[0-3]|T(3[6-9]|4[0-9]|5[0-9]|6[0-5]|71)..2'),
    (16, 'self_harm',          9, 'E95[0-9]|V6284')
) as t (position, name, icd_version, pattern);

-- Principal diagnosis of a psychiatric crisis: F10–F39 and the ICD-9 categories of the same disorders.
create or replace table crisis_code as
select * from (values
    (10, 'F[123][0-9]'),
    (9,  '291|292|29[5-8]|3004|3011[023]|30122|30[345]|311')
) as t (icd_version, pattern);

create or replace table f_code as
select * from (values
    (10, 'F[0-9][0-9]'),
    (9,  '29[0-9]|30[0-9]|31[0-9]')
) as t (icd_version, pattern);

-- A disorder that is over, or nearly: substance use, then mania, bipolar and depressive disorder, in (partial or full)
-- remission. Schizophrenia in remission (ICD-9 295.x5) is left out: ICD-10-CM has no such code.
create or replace table remission_code as
select * from (values
    (10, 'F1[0-9][129]1'),
    (10, 'F30[34]|F317|F32[45]|F334'),
    (9,  '30[345].3'),
    (9,  '296[0-6][56]')
) as t (icd_version, pattern);

create or replace table icd_chapter as
select * from (values
    (10, 'A00', 'B99'), (10, 'C00', 'D49'), (10, 'D50', 'D89'), (10, 'E00', 'E89'), (10, 'F01', 'F99'),
    (10, 'G00', 'G99'), (10, 'H00', 'H59'), (10, 'H60', 'H95'), (10, 'I00', 'I99'), (10, 'J00', 'J99'),
    (10, 'K00', 'K95'), (10, 'L00', 'L99'), (10, 'M00', 'M99'), (10, 'N00', 'N99'), (10, 'O00', 'O9Z'),
    (10, 'P00', 'P96'), (10, 'Q00', 'Q99'), (10, 'R00', 'R99'), (10, 'S00', 'T88'), (10, 'U00', 'U85'),
    (10, 'V00', 'Y99'), (10, 'Z00', 'Z99'),
    (9, '001', '139'), (9, '140', '239'), (9, '240', '279'), (9, '280', '289'), (9, '290', '319'),
    (9, '320', '389'), (9, '390', '459'), (9, '460', '519'), (9, '520', '579'), (9, '580', '629'),
    (9, '630', '679'), (9, '680', '709'), (9, '710', '739'), (9, '740', '759'), (9, '760', '779'),
    (9, '780', '799'), (9, '800', '999'), (9, 'E00', 'E99'), (9, 'V01', 'V91')
) as t (icd_version, first_category, last_category);

-- MIMIC-IV writes a code bare; another source may write "F32.9". A leading zero stays.
create or replace macro bare_code(code) as upper(regexp_replace(code, '[\s.]', '', 'g'));

create or replace table token_kind as
select * from (values
    (1, 'age'), (2, 'sex'), (3, 'admission'), (4, 'service'), (5, 'unit'), (6, 'icu'), (7, 'diagnosis'),
    (8, 'procedure'), (9, 'drg'), (10, 'drug'), (11, 'lab'), (12, 'other'), (13, 'closing')
) as t (position, kind);
