-- One row an admission, in the order of subject and time.
select subject_id, hadm_id, admittime, dischtime, if(died, dischtime, null) as deathtime, admission_type,
       'P' || left(upper(md5((a % 4000)::text)), 5) as admit_provider_id,
       pick(['EMERGENCY ROOM', 'EMERGENCY ROOM', 'EMERGENCY ROOM', 'PHYSICIAN REFERRAL', 'PHYSICIAN REFERRAL',
             'TRANSFER FROM HOSPITAL', 'WALK-IN/SELF REFERRAL', 'CLINIC REFERRAL', 'PROCEDURE SITE', 'PACU'],
            u(hadm_id, 'from')) as admission_location,
       if(died, 'DIED', pick(['HOME', 'HOME', 'HOME', 'HOME HEALTH CARE', 'HOME HEALTH CARE', 'SKILLED NURSING FACILITY',
             'SKILLED NURSING FACILITY', 'REHAB', 'HOSPICE', 'AGAINST ADVICE', 'PSYCH FACILITY', 'ACUTE HOSPITAL', null, null,
             null, 'HOME', 'HOME', 'HOME', 'HOME', 'CHRONIC/LONG TERM ACUTE CARE'], u(hadm_id, 'to'))) as discharge_location,
       pick(['Medicare', 'Medicare', 'Private', 'Private', 'Medicaid', 'Other'], u(subject_id, 'insurance')) as insurance,
       if(u(subject_id, 'language') < 0.9, 'English', 'Spanish') as language,
       pick(['MARRIED', 'SINGLE', 'DIVORCED', 'WIDOWED', null], u(subject_id, 'married')) as marital_status,
       pick(['WHITE', 'WHITE', 'WHITE', 'WHITE', 'BLACK/AFRICAN AMERICAN', 'HISPANIC/LATINO - PUERTO RICAN',
             'ASIAN - CHINESE', 'UNKNOWN', 'OTHER'], u(subject_id, 'race')) as race,
       if(admission_type in ('EW EMER.', 'EU OBSERVATION'), later(admittime, -0.3), null) as edregtime,
       if(admission_type in ('EW EMER.', 'EU OBSERVATION'), later(admittime, 0.1), null) as edouttime,
       died::int as hospital_expire_flag
from admission
order by a
