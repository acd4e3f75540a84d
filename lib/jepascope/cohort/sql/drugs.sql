-- Reads prescriptions. Makes `drug_ingredient`: the name and the class of each distinct drug text, told from its words.
-- This is not RxNorm and not ATC, neither of which comes with the records: a brand name stays a name of its own, a
-- misspelling too, and a class is what the name itself says. A code ("ATC//N05AH03") is not looked up either.

-- form: no part of a name, wherever it stands: form, route, preparation, purpose.
-- head: a name of two words, because the second tells: sodium chloride is not sodium bicarbonate. Elsewhere the second
-- word is a salt or says how it is given, and the first alone is the ingredient.
create table drug_word as
select role, unnest(string_split(words, ' ')) as word
from (values
    ('form', 'tablet tablets tab tabs capsule capsules cap caps caplet suspension susp solution soln sol syrup elixir'),
    ('form', 'liquid concentrate powder packet granules lozenge troche gum wafer film cream ointment oint lotion gel'),
    ('form', 'jelly foam shampoo paste patch suppository supps supp enema spray inhaler inhalation aerosol mdi diskus'),
    ('form', 'neb nebs nebulizer nebulized rinse wash mouthwash drops emulsion injection inj vial ampule syringe'),
    ('form', 'pen kit bag bolus drip infusion premix piggyback flush lock dwell irrigation pca pump depot implant'),
    ('form', 'oral nasal ophth ophthalmic otic topical rectal vaginal vag buccal sublingual transdermal dental'),
    ('form', 'intravenous intramuscular subcutaneous subcut intrathecal epidural peripheral central'),
    ('form', 'extended delayed immediate sustained controlled release disintegrating chewable enteric coated buffered'),
    ('form', 'concentrated dilute regular human pediatric neonatal adult low high dose double single strength loading'),
    ('form', 'initial rescue taper maintenance protocol sliding scale replacement reversal desensitization test ciwa'),
    ('form', 'withdrawal icu cvicu heart failure hyperkalemia free sugar preservative preserv generic brand neo inv'),
    ('form', 'virus study drug research investigational inpatient patient own supply home med meds the for per'),
    ('head', 'sodium potassium calcium magnesium aluminum aluminium ammonium zinc iron ferrous ferric cupric copper'),
    ('head', 'silver bismuth barium selenium manganese sod pot mag isosorbide polyethylene sterile normal lactated'),
    ('head', 'artificial fish mineral castor milk fat amino immune influenza hepatitis pneumococcal vaccine tetanus')
) as t (role, words);

create table drug_alias as
select name, unnest(string_split(words, ' ')) as word
from (values
    ('insulin', 'humalog humulin novolog novolin lantus levemir tresiba toujeo basaglar apidra'),
    ('insulin', 'glargine lispro aspart detemir degludec glulisine nph'),
    ('sulfamethoxazole', 'sulfameth'), ('multivitamins', 'multivitamin')
) as t (name, words);

-- Stems of international nonproprietary names that tell what kind of drug a name is: a selection from the World Health
-- Organization's "The use of stems in the selection of international nonproprietary names (INN) for pharmaceutical
-- substances" (2018), of those met in hospitals and unlikely to be met by chance. Below them, stems that are written in
-- more ways: substems, US spellings, older names of the same kind. Without a hyphen it is the whole name.
create table inn_stem as
with one_way as (
    select unnest(string_split(stems, ' ')) as stem
    from (values
        -- heart, vessels, blood
        ('-dilol -sartan -dipine -pamil -tiazem -azosin -dralazine -semide -etanide -pamide -entan -vastatin -imibe'),
        ('-rinone -arone -ilide -vaptan -ciguat -afil -opamine -parin -parinux -xaban -gatran -irudin -teplase'),
        ('-poetin -grastim -gramostim'),
        -- hormones, metabolism, gut, airways
        ('-formin -gliptin -gliflozin -glitazone -glutide -thiouracil -onide estr- -steride -relin -relix -reotide'),
        ('-tocin -pressin -tidine -prazole -setron -pitant -prost- -terol -lukast -astine -tadine -azoline -fenacin'),
        -- nerves, mind, pain, anaesthesia
        ('-barb- -toin -racetam -trigine -zepine -apine -peridol -peridone -perone -piprazole -oxetine -traline'),
        ('-triptyline -pramine -spirone -giline -capone -stigmine -pidem -clone -plon -orexant -triptan -gepant'),
        ('-nicline -bamate -adol -eridine -caine -flurane -profen -oxicam -coxib'),
        -- infection
        ('-cillin -penem -monam -oxacin -cycline -mycin -micin -kacin -planin -zolid sulfa- -prim -nidazole rifa-'),
        ('-conazole -fungin -quine -bendazole -ectin -vir -navir -tegravir -fovir -amivir -buvir -asvir -previr'),
        ('-cavir -viroc -vudine'),
        -- cancer, immunity, diagnosis
        ('-mab -cept -tinib -rafenib -lisib -parib -zomib -degib -rubicin -platin -taxel -tecan vin- -trexate -trexed'),
        ('-mustine -sulfan -arabine -racil -lutamide -rozole -mestane -domide -rolimus -imod gado-')
    ) as t (stems)
)
select stem, stem as written from one_way
union all
select stem, unnest(string_split(spellings, ' '))
from (values
    ('-olol', '-olol -alol'), ('-pril', '-pril -prilat'), ('-nidine', '-onidine -zanidine'),
    ('-tizide', '-tizide -thiazide'), ('-renone', '-renone spironolactone'), ('-fibrate', '-fibrate gemfibrozil'),
    ('-cain-', 'procainamide flecainide'), ('-frine', '-frine -ephrine'), ('-drine', '-hedrine midodrine'),
    ('-grel-', '-grel -grelor'),
    ('gli-', 'gli- glyburide'), ('-pred-', 'pred- -pred- -methasone -metasone -betasol'), ('-cort-', '-cortisone'),
    ('-gest-', '-gesterone -gestrel -gestrol -gestimate'), ('calci-', 'calcitriol -calcitol -calciferol'),
    ('-dronic', '-dronic -dronate'), ('-trop-', 'atropine -tropine -tropium'),
    ('-fylline', '-fylline -phylline'), ('-izine', '-izine -yzine'), ('-azepam', '-azepam -azolam -azam'),
    ('-gab-', 'gab- -gab-'), ('-dopa', 'levodopa carbidopa'), ('-mantadine', '-mantadine -mantine'),
    ('-orph-', '-orphine -orphone -orphan -orphanol'), ('nal-', 'nal- methylnaltrexone'),
    ('-fentanil', '-fentanil -fentanyl'), ('-curium', '-curium -curonium'), ('-metacin', '-metacin -methacin'),
    ('-ac', '-fenac -orolac -indac'), ('cef-', 'cef- ceph-'), ('nifur-', 'nifur- nitrofur-'),
    ('-ciclovir', '-ciclovir -cyclovir'), ('-virine', '-virine nevirapine'), ('-fosfamide', '-fosfamide -phosphamide'),
    ('-citabine', '-citabine -citidine'), ('-ifene', '-ifene -oxifen')
) as t (stem, spellings);

-- One row per part of a combination ("Ipratropium-Albuterol", "Lidocaine/Prilocaine"). What stands in brackets is a
-- brand or a remark, and so is what stands after a dash between spaces.
create table drug_part as
with said as (
    select distinct drug, lower(drug) as text,
           -- A code has no word: "N05AH03", "RXNORM//11289", "NDC:0409-1234".
           contains(drug, '//') or regexp_full_match(drug, '\w+:\S*\d\S*')
           or (regexp_matches(drug, '\d') and not regexp_matches(drug, '[A-Za-z]{3}')) as is_code
    from prescriptions
    where drug_type is distinct from 'BASE'
),
part as (
    select drug, unnest(string_split_regex(
        regexp_replace(regexp_replace(text, '\([^)]*\)?|\[[^\]]*\]?|\*[a-z]+\*', ' ', 'g'), '\s-\s.*', ''),
        '[/&+-]|\b(?:and|with)\b')) as part
    from said
    where not is_code
),
spoken as (
    -- A strength before the name goes, and all from the first digit after it. "Vitamin D" is one word here.
    select drug, regexp_extract_all(regexp_replace(regexp_replace(part, '^(\s*[\d.,%]\S*)+', ''), '[\d%].*', ''),
                                    'vitamin [a-z]+|[a-z]{3,}') as words
    from part
),
named as (
    select drug, list_filter(words, lambda w: not list_contains(forms, w)) as words, heads
    from spoken, (select list(word) filter (role = 'form') as forms, list(word) filter (role = 'head') as heads
                  from drug_word)
)
select distinct drug,
       coalesce(alias.name,
                words[1] || if(list_contains(heads, words[1]) or words[2] = 'acid', coalesce(' ' || words[2], ''), ''))
           as name
from named
left join drug_alias alias on alias.word = words[1]
where len(words) > 0
union all
select drug, drug from said where is_code
union all
-- Nothing but forms: better its first word than nothing.
select drug, regexp_extract(text, '[a-z]{3,}')
from said
where not is_code and drug not in (select drug from named where len(words) > 0) and regexp_matches(text, '[a-z]{3}');

-- The longest stem wins: aripiprazole is -piprazole and not -prazole. A stem is part of the
-- first word: zoledronic acid.
create table drug_class as
select name, arg_max(stem, (len(written), written)) as stem
from (select distinct name, split_part(name, ' ', 1) as first from drug_part), inn_stem
where case when written like '-%-' then contains(first[2:], trim(written, '-'))
           when written like '-%' then ends_with(first, written[2:])
           when written like '%-' then starts_with(first, rtrim(written, '-'))
           else first = written end
group by name;

-- A combination is named by all its parts, and its class is that of its first part that has one.
create table drug_ingredient as
select drug, string_agg(name, '+' order by name) as name, arg_min(stem, name) as parent
from drug_part
left join drug_class using (name)
group by drug;
