-- Makes `meds_rule`: what a code says, by its shape. The first rule that matches the whole code, in any case, wins;
-- \1 and \2 are its groups. "left out" is understood and has no place in the record tables.

create or replace table meds_rule as
select * from (values
    (10, 'birth',             'MEDS_BIRTH(?://.*)?',                                           '',          ''),
    (11, 'death',             'MEDS_DEATH(?://.*)?',                                           '',          ''),
    (12, 'gender',            '(?:GENDER|SEX)//?(F|M)(?:EMALE|ALE)?(?://.*)?',                 '\1',        ''),
    (13, 'anchor_age',        'ANCHOR_AGE',                                                    '',          ''),
    (14, 'anchor_year',       'ANCHOR_YEAR',                                                   '',          ''),
    (15, 'anchor_year_group', 'ANCHOR_YEAR_GROUP//(.+)',                                       '\1',        ''),
    (20, 'admission',         'HOSPITAL_ADMISSION(?://(.*?))?(?://(.*))?',                     '\1',        '\2'),
    (21, 'discharge',         'HOSPITAL_DISCHARGE(?://(.*))?',                                 '\1',        ''),
    (22, 'insurance',         'INSURANCE//(.+)',                                               '\1',        ''),
    (23, 'race',              'RACE//(.+)',                                                    '\1',        ''),
    (24, 'ed',                'ED_REGISTRATION(?://.*)?',                                      '',          ''),
    (25, 'left out',          '(?:LANGUAGE|MARITAL_STATUS)//.*|ED_OUT(?://.*)?',               '',          ''),
    (30, 'procedure',         'PROCEDURE//ICD(?://|[-_ ])?(9|10)[-_ ]?(?:CM|PCS|PROC)?//?(.+)', '\2',       '\1'),
    (31, 'procedure',         'ICD[-_ ]?(9|10)[-_ ]?(?:PCS|PROC)//?(.+)',                      '\2',        '\1'),
    (32, 'diagnosis',         '(?:DIAGNOSIS//)?ICD(?://|[-_ ])?(9|10)[-_ ]?(?:CM)?//?(.+)',    '\2',        '\1'),
    (40, 'drug',              '(?:(?:MEDICATION|DRUG)//(?:START//)?)?(RXNORM|ATC|NDC)//?([^/]+)(?://.*)?', '\1//\2', ''),
    (41, 'left out',          'MEDICATION//STOP(?://.*)?',                                     '',          ''),
    (42, 'drug',              'MEDICATION//START//(.+)//.*',                                   '\1',        ''),
    (43, 'drug',              'MEDICATION//START//(.+)',                                       '\1',        ''),
    -- A dose that was not given, or its end, is no sign of the drug.
    (44, 'left out',          'MEDICATION//.+?//(?:not |hold|held|stop|remov|delay|cancel|refus).*', '',    ''),
    (45, 'drug',              '(?:MEDICATION|DRUG)//(.+?)(?://.*)?',                           '\1',        ''),
    (50, 'left out',          'LAB//SPECIMEN_COLLECTED(?://.*)?',                              '',          ''),
    -- MIMIC-IV's bedside charting, which the record tables don't have either.
    (51, 'left out',          'LAB//22\d{4}(?://.*)?',                                         '',          ''),
    (52, 'lab',               '(?:LAB//)?(?:RESULT//)?(LOINC)//?([^/]+)(?://.*)?',             '\1//\2',    ''),
    -- The unit is what follows the last //.
    (53, 'lab',               'LAB//RESULT//(.+)//.*',                                         '\1',        ''),
    (54, 'lab',               'LAB//RESULT//(.+)',                                             '\1',        ''),
    (55, 'lab',               'LAB//(.+?)(?://.*)?',                                           '\1',        ''),
    (60, 'service',           'SERVICE//(.+)',                                                 '\1',        ''),
    (61, 'transfer',          'TRANSFER_TO//(?:.*?)//(.*)',                                    '\1',        ''),
    (62, 'transfer',          'TRANSFER_TO//(.+)',                                             '\1',        ''),
    (63, 'icu',               'ICU_ADMISSION(?://.*)?',                                        '',          ''),
    (64, 'left out',          'ICU_DISCHARGE(?://.*)?',                                        '',          ''),
    (70, 'drg',               'DRG//(.*?)//(.+)',                                              '\2',        '\1'),
    (71, 'omr',               'OMR//(.+)',                                                     '\1',        ''),
    (72, 'omr',               '((?:Blood Pressure|Weight|Height|BMI|eGFR)(?: .*)?)',           '\1',        ''),
    -- Infusions and bedside procedures name an item and its rate, which is neither a drug nor a result.
    (80, 'other',             '(?:INFUSION_START|PROCEDURE//START|HCPCS)//.*',                 '',          ''),
    (81, 'left out',          '(?:INFUSION_END|PROCEDURE//END)//.*',                           '',          '')
) as t (position, kind, pattern, item, detail);
