"""Makes goldens.json: what jinja2, in the environment that Hugging Face transformers
sets up for chat templates, makes of small templates. Made with transformers 5.24 and
jinja2 3.1.6:

    pip install transformers==5.24 jinja2==3.1.6 && python goldens.py
"""
import datetime, json, pathlib
from transformers.utils import chat_template_utils as hf

VALUES = {
    "n": 7, "f": 2.5, "s": "Hello, World", "empty": "", "yes": True, "no": False, "none": None,
    "list": [3, 1, 2], "words": ["beta", "Alpha", "gamma"], "nested": [[1, 2], [3, [4]]],
    "text": "one\n\ntwo  three\n", "uni": "naïve – 日本語 😀", "quotes": "it's \"quoted\" \\ back",
    "d": {"b": 1, "a": {"c": [1, 2.0, None, True]}, "items": "shadow"},
    "people": [{"name": "Bo", "age": 30, "tags": []}, {"name": "al", "age": 25, "tags": ["x"]}, {"name": "Cy", "age": 30}],
    "tool": {"type": "function", "function": {"name": "f", "parameters": {"é": "<&>'\"", "x": [1e16, 1e-5, 0.1, 1e300]}}},
}

class Fixed(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2026, 3, 5, 7, 8, 9, 123456)

hf.datetime = Fixed

EXPRESSIONS = r"""
1 + 2 * 3 - 4
7 // 2
-7 // 2
-7 % 3
7 % -3
7 / 2
6 / 2
2 ** 10
2 ** -1
2 ** 0.5
2 ** 3 ** 2
-2 ** 2
1 / 0
1 // 0
1 % 0
0.1 + 0.2
1e16
1e15
123456789012345680.0
0.00001
0.0001
1.0
-0.0
1_000
0x1F
0b101
1e3
5.5 // 2
-5.5 // 2
-5.5 % 2
'a' 'b'
'a' + 'b'
'a' + 1
1 + 'a'
'a' ~ 1 ~ none ~ true ~ 1.5
'ab' * 3
3 * 'ab'
'ab' * -1
[1] * 2
[1] + [2]
(1,) + (2,)
[1] + (2,)
1 + none
1 + true
true
none
False
[]
[none, true, 'a', "it's", 1.0]
(1,)
(1, 2)
()
{}
{'a': 1, 'b': [1]}
{'a': {'b': none}}
{1: 'x', none: 2}
{1: 'x', True: 'y'}
1 < 2 < 3
1 < 3 < 2
1 == 1.0
true == 1
'1' == 1
'a' < 'b'
'a' < 1
[1, 2] < [1, 3]
[1] == (1,)
none == none
none < 1
1 in [1, 2]
'a' in 'abc'
'b' in d
'z' not in d
1 in 'abc'
'x' in 5
not true
not not 5
not 1 == 2
true and 'x'
'' and 'x'
'' or 'x'
1 if true else 2
1 if false
(1 if false) is defined
1 if false else 2 if false else 3
missing
missing.attr
missing['x']
missing + 1
missing ~ 'x'
missing == none
missing is defined
missing or 'dflt'
missing | default('x')
'' | default('x')
'' | default('x', true)
none | default('x')
none | default('x', boolean=true)
missing | length
missing | list
missing | join(',')
missing | upper
missing | tojson
missing()
d.missing
d.missing.more
d.a.c
d.items
d['items']
d.b
d['b']
d.get('b')
d.get('zz')
d.get('zz', 5)
d.keys() | list
d.values() | list
d.items() | list
d.update({'x': 1})
d.pop('b')
list.append(1)
list[0]
list[-1]
list[5]
list[5].x
list[1:]
list[::-1]
list[:-1]
list[::2]
list[5:1]
list[-2:]
list['x']
s[0]
s[-1]
s[1:4]
s[::-1]
s[::2]
s[10:2:-2]
s[100:]
uni[0:3]
uni[-1]
uni[::-1]
s[::0]
none.x
n.x
n[0]
s.missing
s.upper()
s.lower()
s.title()
"they're bill's".title()
"they're bill's (ok) a-b" | title
'hELLO wORLD' | capitalize
'hELLO wORLD'.capitalize()
s.swapcase()
'  x '.strip()
'xxaxx'.strip('x')
'xxaxx'.lstrip('x')
'xyaxy'.rstrip('xy')
'  x ' | trim
'xxaxx' | trim('x')
'a,b,,c'.split(',')
'a,b,,c'.split(',', 1)
'a,b,,c'.rsplit(',', 1)
' a  b c '.split()
' a  b c '.split(none, 1)
' a  b c '.rsplit(none, 1)
'a'.split('')
'a<think>b</think>c'.split('</think>')[-1].lstrip('\n')
text.splitlines()
text.splitlines(true)
'a\r\nb\rc\x0bd\u2028e'.splitlines()
s.startswith('Hell')
s.startswith(('x', 'H'))
s.endswith('ld')
s.startswith(1)
s.find('o')
s.rfind('o')
uni.find('日')
s.find('zz')
s.index('zz')
s.count('l')
s.replace('l', 'L')
s.replace('l', 'L', 1)
s.replace('', '-')
'a-b-c'.partition('-')
'a-b-c'.rpartition('-')
'abc'.partition('-')
'abc'.rpartition('-')
'-'.join(['a', 'b'])
'-'.join([1])
'abc'.removeprefix('a').removesuffix('c')
'12'.isdigit()
''.isdigit()
'ab'.isalpha()
'AB'.isupper()
'A1'.isupper()
'1'.isupper()
'ab'.islower()
' \n'.isspace()
s | length
uni | length
list | length
d | length
5 | length
none | length
list | first
[] | first
list | last
s | first
s | last
list | sort
list | sort(reverse=true)
words | sort
words | sort(case_sensitive=true)
people | sort(attribute='age') | map(attribute='name') | list
people | sort(attribute='age', reverse=true) | map(attribute='name') | list
[1, 'a'] | sort
list | reverse | list
s | reverse
list | join
list | join(', ')
people | join(', ', attribute='name')
'abc' | join('-')
d | join(',')
5 | join
[1, none, true] | join('|')
list | max
list | min
words | max
[] | max
people | map(attribute='name') | max
list | sum
people | sum(attribute='age')
list | sum(start=10)
words | map('upper') | list
words | map('upper') | join(' ')
people | map(attribute='tags', default='none') | list
people | map(attribute='tags') | list
list | map('string') | list
words | map('replace', 'a', 'o') | list
words | map('nofilter') | list
words | map
list | select('odd') | list
list | select | list
list | reject('odd') | list
list | select('gt', 1) | list
people | selectattr('tags') | map(attribute='name') | list
people | selectattr('age', 'equalto', 30) | map(attribute='name') | list
people | rejectattr('age', '==', 30) | map(attribute='name') | list
people | selectattr('tags', 'defined') | map(attribute='name') | list
list | batch(2) | list
list | batch(2, 0) | list
[1,2,3,4,5,6,7] | slice(3) | list
[1,2,3,4,5,6,7] | slice(3, 'x') | list
[1, 2, 1, 3, 2] | unique | list
['a', 'A', 'b'] | unique | list
['a', 'A', 'b'] | unique(case_sensitive=true) | list
{'b': 1, 'A': 2} | dictsort
{'b': 1, 'A': 2} | dictsort(true)
{'b': 1, 'A': 2} | dictsort(by='value', reverse=true)
d | items | list
5 | items
'5' | int
' 5 ' | int
'5.7' | int
'x' | int
'x' | int(3)
5.9 | int
-5.9 | int
true | int
none | int
'2.50' | float
'x' | float
3 | float
'1e3' | float
42.55 | round
42.55 | round(1)
2.675 | round(2)
2.5 | round
3.5 | round
42 | round
42.1 | round(method='ceil')
42.19 | round(1, 'floor')
-3 | abs
-3.5 | abs
'x' | abs
5 | string
none | string
[1] | string
text | indent
text | indent(2, true)
text | indent(2, true, true)
text | indent('> ')
text | wordcount
'foo bar baz qux' | truncate(9)
'foo bar baz qux' | truncate(9, true)
'foo bar baz qux' | truncate(11)
'foo bar baz qux' | truncate(11, false, '...', 0)
'foo' | center(10)
'foo' | center(9)
s | replace('o', '0')
s | replace('o', '0', 1)
s | lower | upper | title
s | attr('upper')
d | attr('b')
s | upper.lower
s | nosuch
s | safe
d | tojson
tool | tojson
tool | tojson(indent=2)
tool | tojson(indent=4, sort_keys=true)
tool | tojson(ensure_ascii=true)
tool | tojson(separators=(',', ':'))
uni | tojson
uni | tojson(ensure_ascii=true)
quotes | tojson
quotes
[quotes, uni, '\t\r\x00\x7f\u200b']
'\x00\x1f\x7f\u2028' | tojson
'\x7f' | tojson(true)
[] | tojson(indent=2)
{} | tojson(indent=2)
{'a': [], 'b': {}} | tojson(indent=2)
{'a': 1} | tojson(indent=0)
{'a': 1} | tojson(indent='--')
{1: 2, none: 3, true: 4, 1.5: 5} | tojson
(1, 2) | tojson
range(3) | tojson
range(3) | list
range(1, 7, 2) | list
range(5, 0, -2) | list
range(0)
range(2, 5)
range(3)[1]
range(1, 2, 0)
range(1000000)
range(3) | sum
dict(a=1, b=2)
dict({'a': 1}, b=2)
dict([('a', 1)])
namespace(a=1).a
namespace().a
raise_exception('no way')
strftime_now('%Y-%m-%d %H:%M:%S')
strftime_now('%d %b %Y, %A %B %-d %j %y %I %p %%')
strftime_now('%-H %-M %-S %f %Z|')
n is number
n is integer
true is integer
true is number
true is boolean
f is float
s is string
list is sequence
s is sequence
d is sequence
5 is sequence
list is iterable
s is iterable
5 is iterable
missing is iterable
d is mapping
list is mapping
range is callable
missing is callable
none is none
missing is none
n is odd
n is even
n is divisibleby 7
n is divisibleby(2)
'ABC' is upper
'abc' is lower
n is eq 7
n is ne 7
n is gt 5
n is in [7]
n is in([7])
s is nosuch
n is not none
n is defined and n == 7
n is string or n is number
not n is none
none is sameas none
yes is true
no is false
1 is true
'a' ~ n is string
s | length > 3
-n | abs
-5 | abs
(-5) | abs
s.split(', ')[0].lower()
people[0].name
people[0]['name']
people.0.name
people | first | attr('name')
(people | first).name
d.a.c[1]
list.index(2)
list.index(9)
list.count(1)
s.__class__
s._x
s['__class__']
'%s' % s
'{}'.format(s)
'\u00e9\x41\101\n\q'
"a\
b"
1 if
(1
'abc
1 2
{{1}
a..b
[1, 2
foo(
s|
n is
{'a' 1}
lambda x: x
d[[1]]
[1, 2][1.0]
[1, 2][true]
{'a': 1}['a']
1.5 | string ~ 2
nested
nested | length
nested[1][1][0]
nested | map('length') | list
nested | sum(start=[])
nested | tojson
loop
loop.index
caller
words | join(sep=', ')
words | upper
list | upper
[3, 2] | sort | first
s and n
none and missing.x
[missing]
[missing] | tojson
{'a': missing}
missing in [1]
1 in missing
missing < 1
missing | int
missing | sort
missing | items | list
missing | trim
missing | replace('a', 'b')
missing | first
missing | string
missing is eq none
missing == missing
joiner(', ')
not missing
- missing
missing | map('upper') | list
missing | selectattr('x') | list
missing | tojson | length
people | map(attribute='name') | length
people | map(attribute='name')
people | map(attribute='name') | first
words | first | upper | first
10 | batch(2)
yes ~ no
[yes, none]
f ~ ''
1e400
-1e400
10 ** 18
10 ** 18 * 5
7.0 // 2
7 // 2.0
2.0 ** 3
'a' is in 'abc'
5 is sameas 5
s is upper
''.split(',')
''.split()
'' | length
'a\nb' | indent(2)
'x' | indent(2, first=true)
'' | indent
'' | title
'ǆ'.title()
'ß' | upper
'İ' | lower
'ß'.capitalize()
"""

TEMPLATES = [
    "a\n", "a\n\n", "", "\n", "x{# c #}y", "x\n  {# c #}\ny", "x\n  {#- c -#}\ny",
    "{% if yes %}\n  a\n{% endif %}\nb", "  {% if yes %}  \n  a\n  {% endif %}  \nb",
    "x {% if yes %} y {% endif %} z", "x\n\t{%- if yes %}\n y\n{%- endif -%}\n z",
    "x\n  {%+ if yes %}\n y\n  {%+ endif +%}\n z", "{{ n }}\n{{ n -}}\n x {{- n }}", "  {{ n }}\n",
    "{% raw %}{{ x }}{% y %}{% endraw %}\nz", "a {%- raw -%}  {{ x }} {%- endraw -%} z", "x\n  {% raw %}\n a\n  {% endraw %}\nb",
    "{% for x in list %}{{ x }},{% endfor %}", "{% for x in list %}\n{{ x }}\n{% endfor %}\n",
    "{% for x in list -%}\n{{ x }}\n{%- endfor %}", "{% for x in [] %}a{% else %}b{% endfor %}",
    "{% for x in list %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.length }} {% endfor %}",
    "{% for x in list %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {% endfor %}",
    "{% for x in list %}{{ loop.previtem is defined }}{% endfor %}",
    "{% for x in list %}{{ loop.cycle('a', 'b') }}{% endfor %}", "{% for x in [1,1,2] %}{{ loop.changed(x) }}{% endfor %}",
    "{% for x in list if x > 1 %}{{ loop.index }}:{{ x }} {% endfor %}", "{% for x in list if x > 9 %}a{% else %}none{% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", "{% for k in d %}{{ k }};{% endfor %}", "{% for c in 'aé' %}{{ c }};{% endfor %}",
    "{% for k, v in [[1,2],[3]] %}{{ k }}{% endfor %}", "{% for (a, b) in [(1, 2)] %}{{ a }}{{ b }}{% endfor %}",
    "{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}", "{% for x in 5 %}{% endfor %}", "{% for x in missing %}a{% endfor %}b",
    "{% for x in list %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}", "{% for x in list %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% endfor %}",
    "{% break %}", "{% for x in list %}{% set y = x %}{% endfor %}{{ y }}", "{% set y = 0 %}{% for x in list %}{{ y }}{% set y = x %}{% endfor %}{{ y }}",
    "{% set ns = namespace(y=0) %}{% for x in list %}{% set ns.y = ns.y + x %}{% endfor %}{{ ns.y }}", "{% set ns = namespace(_y=0) %}", "{% set d.x = 1 %}", "{% set q.x = 1 %}",
    "{% if yes %}{% set y = 1 %}{% endif %}{{ y }}", "{% set a, b = 1, 2 %}{{ a }}{{ b }}", "{% set a = 1, 2 %}{{ a }}", "{% set a, b = 1 %}", "{% set true = 1 %}", "{% set a.b.c = 1 %}",
    "{% set t %}a {{ n }}{% endset %}[{{ t }}]", "{% set t | upper %}a {{ n }}{% endset %}[{{ t }}]", "{% set t %}{% set inner = 5 %}{% endset %}[{{ inner }}]",
    "{% filter upper %}abc {{ n }}{% endfilter %}", "{% filter replace('a', 'b') | upper %}aa{% endfilter %}",
    "{% macro m(a, b=2) %}{{ a }}-{{ b }}{% endmacro %}{{ m(1) }} {{ m(1, 3) }} {{ m(a=5, b=6) }} {{ m() }}", "{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}", "{% macro m(a) %}{% endmacro %}{{ m(z=2) }}", "{% macro m(a) %}{% endmacro %}{{ m(1, a=2) }}",
    "{% macro m(a, b=a) %}{{ b }}{% endmacro %}{{ m(1) }}", "{% macro m(a=1, b) %}{% endmacro %}", "{% set x = 1 %}{% macro m() %}{{ x }}{% endmacro %}{% set x = 2 %}{{ m() }}", "{% macro m() %}{{ s }}{% endmacro %}{{ m() | upper }}",
    "{% macro fact(n) %}{{ n * (fact(n - 1) | int) if n > 1 else 1 }}{% endmacro %}{{ fact(10) }}", "{% macro m() %}[{{ caller() }}]{% endmacro %}{% call m() %}x{{ n }}{% endcall %}",
    "{% macro m(l) %}{% for x in l %}{{ caller(x) }}{% endfor %}{% endmacro %}{% call(y) m(list) %}<{{ y }}>{% endcall %}", "{{ m() }}{% macro m() %}x{% endmacro %}",
    "{% for x in list %}{% macro m() %}{{ x }}{% endmacro %}{{ m() }}{% endfor %}", "{% for x in list %}{% for y in list %}{{ loop.index }}{% endfor %}{{ loop.index }}{% endfor %}",
    "{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a }}", "{% with %}{% set z = 1 %}{{ z }}{% endwith %}{{ z }}", "{% set a = 1 %}{% with a = 2, b = a %}{{ a }}{{ b }}{% endwith %}",
    "{% generation %}x{{ n }}{% endgeneration %}y", "{%- for m in words %}{% generation %}{{ m }}{% endgeneration %}\n{%- endfor %}", "{% generation %}{% set z = 1 %}{% endgeneration %}{{ z }}",
    "{% if missing %}a{% elif yes %}b{% else %}c{% endif %}", "{% if no %}a{% elif none %}b{% else %}c{% endif %}", "{% if not yes %}a{% endif %}", "{% if yes and not no %}a{% endif %}",
    "{% if yes %}", "{% endif %}", "{% for %}{% endfor %}", "{% nosuch %}", "{{ }}", "{{ n", "{% if", "{# x", "{% raw %}x", "{{ 'a }}", "{% if yes %}a{% endfor %}",
    "{% do list.append(1) %}", "{% for x in range(3) %}{{ x }}{% endfor %}", "{% set x = [] %}{% for i in range(3) %}{% set x = x + [i] %}{% endfor %}{{ x }}",
    "line1\r\nline2\rline3\n", "{{ 'a\r\nb' }}", "{% set j = joiner(', ') %}{% for x in list %}{{ j() }}{{ x }}{% endfor %}",
    "{% for p in people %}{{ p.name }}{% if not loop.last %}, {% endif %}{% endfor %}", "{{ '{{' }}{{ '}}' }}{{ '{%' }}", "{{ {'a': {'b': 1}}['a']['b'] }}", "{{ {'a': {}} }}",
    "{{ n }}{# a #}\n{# b #}\n{{ n }}", "{% if yes %}{# c #}\n  x\n{% endif %}", " {% if yes %}a{% endif %}", "{{ s }}  {% if yes %}a{% endif %}", "\n  {% if yes %}\n    {{ n }}\n  {% endif %}\n", "{% set x = 'a\\nb' %}{{ x }}",
    "{% for x in list %}\n    {%- if x == 1 %}\n one\n    {%- else %}\n {{ x }}\n    {%- endif %}\n{%- endfor %}\n", "{%-if yes-%}a{%-endif-%}", "{{-n-}}", "{{n|string+'a'}}", "{{ 1if yes else 2 }}", "{% set ns = namespace(a=1, b='x') %}{{ ns.a }}{{ ns['b'] }}", "{{ ns.a }}{% set ns = namespace(a=1) %}",
    "{% for x in list recursive %}{{ x }}{% endfor %}", "{% include 'x' %}", "{% extends 'x' %}", "{% import 'x' as y %}", "{% block a %}x{% endblock %}", "{% autoescape true %}{% endautoescape %}",
    "{% set content = missing.x if missing else 'ok' %}{{ content }}", "{% for m in people[1:] %}{{ m.name }}{% endfor %}", "{% for m in people %}{% if loop.index0 == 0 %}{% continue %}{% endif %}{{ m.name }}{{ loop.index }}{% endfor %}",
    "{% set loop_messages = people %}{% set x = loop_messages[0]['name'] %}{{ x }}", "{{ people[0] }}", "{{ people }}", "{{ tool }}", "{{ d }}", "{% set x %}{% endset %}{{ x | length }}", "{{ s | e }}", "{{ '<' | escape }}", "{{ uni | urlencode }}",
]

# Ends and defaults: what a number or an argument more or less would change.
MORE = [
    "{{ ('a' * 260) | truncate | length }} {{ ('a' * 261) | truncate | length }}", "{{ 'ab cd ef gh' | truncate(6) }}|{{ 'ab cd ef gh' | truncate(5) }}|{{ 'ab cd ef gh' | truncate(6, leeway=4) }}",
    "{{ 'ab cd ef gh' | truncate(6, true, '..', 0) }}|{{ 'ab cd ef gh' | truncate(11, leeway=0) }}|{{ 'ab cd ef gh' | truncate(10, leeway=0) }}|{{ 'ab cd ef gh' | truncate(3, leeway=0) }}|{{ ' bcdefgh' | truncate(5, leeway=0) }}",
    "{{ 'ab cd ef gh' | truncate(2) }}", "{{ 'ab cd ef gh' | truncate(6, leeway=-1) }}", "{{ 'abcdefghijkl' | truncate(6, leeway=none) }}",
    "{{ 'a' | center | length }}{{ 'a' | center(4) }}|{{ 'ab' | center(5) }}|{{ 'ab' | center(4) }}|{{ 'abc' | center(4) }}|{{ 'abc' | center(3) }}|{{ 'abc' | center(-2) }}|{{ 'äb' | center(5) }}|",
    "{{ 'a\n\nb' | indent }}|{{ 'a\nb' | indent(0) }}|{{ 'a\nb' | indent(-3) }}|{{ 'a\nb' | indent(1) }}|{{ 'a\n\nb\n' | indent(2, true, true) }}|{{ 'a\n\nb' | indent('>') }}|{{ 'a\n\nb' | indent(blank=true) }}",
    "{{ -0.3 % 0.5 }} {{ 0.3 % 0.5 }} {{ 0.3 % -0.5 }} {{ -0.3 % -0.5 }} {{ 0.3 // 0.5 }} {{ -0.3 // 0.5 }} {{ 0.3 // -0.5 }} {{ 1.0 % 0.5 }} {{ -1.5 // 0.5 }}",
    "{{ '\\1 ' }}{{ '\\12 b' }}{{ '\\7/' }}{{ '\\1018' }}{{ '\\08' }}|" , "{{ '\\x4' ~ 1 }}",
    "{% set m = words | map('upper') %}{{ m | first }}{{ m | first }}{{ m | list }}", "{% set m = list | reverse %}{{ m | first }}{{ m | list | last }}", "{% set m = [] | map('upper') %}{{ m | first is defined }}{{ m | list }}",
    "{{ {'b': 2, 'A': 3, 'c': 1} | dictsort }}{{ {'b': 2, 'A': 3, 'c': 1} | dictsort(true) }}{{ {'b': 2, 'A': 3, 'c': 1} | dictsort(false, 'value') }}{{ {'b': 2, 'A': 3, 'c': 1} | dictsort(reverse=true) }}{{ {'b': 2, 'A': 3, 'c': 1} | dictsort(false, 'key', false) }}{{ {'b': 'x', 'A': 'Y', 'c': 'w'} | dictsort(true, 'value', true) }}",
    "{{ dict(mapping={'a': 1}) }}", "{{ namespace(mapping=3).mapping }}", "{{ dict({'a': 1}, a=2, b=3) }}{{ dict([('x', 1), ['y', 2]]) }}{{ dict() }}", "{{ dict({'a': 1}, mapping=4) }}", "{{ namespace({'a': 1}, b=2).a }}", "{{ dict([1]) }}", "{{ dict([[1, 2, 3]]) }}", "{{ dict({'a': 1}, {'b': 1}) }}",
    "{{ d['_x'] is defined }}{{ {'_x': 1}['_x'] }}{{ {'_x': 1}._x }}{{ d['__class__'] is defined }}", "{{ s['upper']() }}{{ s['_upper'] is defined }}{{ list['_a'] is defined }}{{ list['count'](1) }}",
    "{{ words | sort }}{{ words | sort(true) }}{{ words | sort(false, true) }}{{ people | sort(attribute='age') | map(attribute='name') | list }}{{ people | sort(true, false, 'age') | map(attribute='name') | list }}{{ people | sort(attribute='name') | map(attribute='name') | list }}{{ people | sort(false, true, 'name') | map(attribute='name') | list }}",
    "{{ words | max }}{{ words | min }}{{ words | max(true) }}{{ words | min(true) }}{{ (people | max(attribute='age')).name }}{{ (people | min(attribute='age')).name }}{{ (people | max(false, 'name')).name }}{{ (people | max(true, 'name')).name }}{{ [2, 1, 2.0, 1.0] | max }}{{ [1.0, 1, 2] | min }}",
    "{{ ['a', 'A', 'b'] | unique | list }}{{ ['a', 'A', 'b'] | unique(true) | list }}{{ people | unique(attribute='age') | map(attribute='name') | list }}{{ people | unique(false, 'age') | list | length }}{{ [1, 1.0, true, 2] | unique | list }}",
    "{{ [1, 2, 3] | sum }}{{ [1, 2] | sum(start=10) }}{{ people | sum('age') }}{{ people | sum(attribute='age', start=1) }}{{ [] | sum }}{{ [0.5, 1] | sum }}",
    "{{ [1, 2, 3, 4, 5] | batch(2) | list }}{{ [1, 2, 3, 4, 5] | batch(2, 'x') | list }}{{ [1, 2, 3, 4, 5] | batch(5, 'x') | list }}{{ [1, 2] | batch(1, 'x') | list }}{{ [] | batch(3, 'x') | list }}{{ [1] | batch(3, none) | list }}", "{{ [1] | batch }}", "{{ [1] | slice }}", "{{ [1] | batch('2') }}",
    "{{ [1, 2, 3, 4, 5] | slice(2) | list }}{{ [1, 2, 3, 4, 5] | slice(3) | list }}{{ [1, 2, 3, 4, 5] | slice(3, 'x') | list }}{{ [1, 2, 3, 4] | slice(2, 'x') | list }}{{ [1] | slice(3, 'x') | list }}{{ [] | slice(2, 'x') | list }}{{ [1, 2] | slice(1, 'x') | list }}",
    "{{ 2.5 | round }}{{ 3.5 | round }}{{ 2.675 | round(2) }}{{ 2.15 | round(1, 'ceil') }}{{ 2.15 | round(1, 'floor') }}{{ 2.1 | round(method='ceil') }}{{ 7 | round }}{{ 7 | round(1) }}{{ 7 | round(0, 'floor') }}{{ true | round }}", "{{ 2.5 | round(1, 'up') }}",
    "{{ '12' | int }}{{ ' 12 ' | int }}{{ '1_2' | int }}{{ '12.9' | int }}{{ 'x' | int }}{{ 'x' | int(3) }}{{ '' | int(-1) }}{{ -2.9 | int }}{{ true | int }}{{ none | int }}{{ none | int(5) }}{{ [] | int(6) }}{{ '1e3' | int }}{{ '-7' | int }}{{ '12' | int(0, 10) }}",
    "{{ '1.5' | float }}{{ ' 1.5 ' | float }}{{ 'x' | float }}{{ 'x' | float(2.5) }}{{ '1_0.5' | float }}{{ '1__0' | float }}{{ '_1' | float }}{{ '1_' | float }}{{ '0x10' | float }}{{ '1p3' | float }}{{ 'inf' | float }}{{ '-inf' | float }}{{ 'nan' | float }}{{ '1e999' | float }}{{ none | float(1.0) }}{{ true | float }}",
    "{{ -3 | abs }}{{ -2.5 | abs }}{{ true | abs }}{{ 0 | abs }}", "{{ 'a' | abs }}", "{{ 'a b_c d1 é-x' | wordcount }}{{ '' | wordcount }}{{ '  a  ' | wordcount }}",
    "{{ none | default('x') }}{{ none | default('x', true) }}{{ missing | default }}|{{ missing | default('x') }}{{ '' | default('x', true) }}{{ 0 | d(1) }}{{ 0 | d(1, boolean=true) }}{{ 0 | default(boolean=true) }}|",
    "{{ 'aXbXc' | replace('X', '-') }}{{ 'aXbXc' | replace('X', '-', 1) }}{{ 'aXbXc' | replace('X', '-', 0) }}{{ 'aXbXc' | replace('X', '-', none) }}{{ 'abc'.replace('', '-') }}{{ 'aXbXc'.replace('X', '-', 1) }}{{ 'aXbXc'.replace('X', '-', -1) }}{{ 'abc' | replace('', '-', 2) }}",
    "{{ people | map(attribute='tags') | list }}{{ people | map(attribute='x', default=0) | list }}{{ people | map(attribute='tags', default=none) | list | length }}{{ nested | map(attribute=0) | list }}{{ nested | map('first') | list }}{{ [{'a': {'b': 1}}] | map(attribute='a.b') | list }}{{ ['a,b'] | map('replace', ',', ';') | list }}{{ [1.26] | map('round', precision=1) | list }}",
    "{{ [1, 2, 3, 4] | select('odd') | list }}{{ [1, 2, 3, 4] | reject('odd') | list }}{{ [0, 1, ''] | select | list }}{{ [0, 1, ''] | reject | list }}{{ [1, 2, 3, 4] | select('divisibleby', 2) | list }}{{ people | selectattr('tags') | map(attribute='name') | list }}{{ people | rejectattr('tags') | map(attribute='name') | list }}{{ people | selectattr('age', 'eq', 30) | map(attribute='name') | list }}{{ people | rejectattr('age', 'gt', 25) | map(attribute='name') | list }}",
    "{{ 'abc' | join('-') }}{{ [1, 2] | join }}{{ people | join(', ', 'name') }}{{ people | join(attribute='age') }}{{ [1, none, true] | join('|') }}{{ [] | join('x') }}{{ [1] | join('x') }}",
    "{{ 'xxabxx' | trim('x') }}{{ ' ab ' | trim }}{{ 'xyabyx'.strip('xy') }}{{ 'xab'.lstrip('x') }}{{ 'abx'.rstrip('x') }}{{ ' a '.strip(none) }}{{ 'ab'.lstrip('ab') }}|",
    "{{ 'abcabc'.find('c') }}{{ 'abcabc'.rfind('c') }}{{ 'abc'.find('x') }}{{ 'äbc'.find('c') }}{{ 'abc'.index('b') }}{{ 'abcb'.rindex('b') }}{{ 'abab'.count('ab') }}{{ 'aaa'.count('aa') }}{{ 'ab'.count('') }}", "{{ 'abc'.index('x') }}", "{{ 'abc'.rindex('x') }}",
    "{{ 'a.b.c'.partition('.') }}{{ 'a.b.c'.rpartition('.') }}{{ 'abc'.partition('.') }}{{ 'abc'.rpartition('.') }}", "{{ 'a,b,,c'.split(',') }}{{ 'a,b,,c'.split(',', 1) }}{{ 'a,b,,c'.split(',', 2) }}{{ 'a,b,,c'.split(',', 0) }}{{ 'a,b,,c'.split(',', 9) }}{{ 'a,b,,c'.rsplit(',', 1) }}{{ 'a,b,,c'.rsplit(',', 0) }}{{ 'a,b,,c'.rsplit(',', 9) }}{{ 'a,b,,c'.rsplit(',') }}",
    "{{ ' a  b c '.split() }}{{ ' a  b c '.split(none, 1) }}{{ ' a  b c '.split(none, 2) }}{{ ' a  b c '.split(none, 0) }}{{ ' a  b c '.split(none, 3) }}{{ ' a  b c '.rsplit(none, 1) }}{{ ' a  b c '.rsplit(none, 0) }}{{ ' a  b c '.rsplit(none, 9) }}{{ 'a'.rsplit(none, 1) }}{{ 'ä ö'.rsplit(none, 1) }}{{ 'ä\u2003ö'.rsplit(none, 1) }}{{ ''.split(none, 1) }}",
    "{{ 'a\\nb\\r\\nc\\rd\\x0be\\x0cf\\x1cg\\x1dh\\x1ei\\x85j\\u2028k\\u2029l'.splitlines() }}{{ 'a\\nb\\r\\nc\\r'.splitlines(true) }}{{ '\\n'.splitlines() }}{{ ''.splitlines() }}{{ 'a\\x1fb\\x0eb\\x09c'.splitlines() }}",
    "{{ '\\x1c\\x1d\\x1e\\x1f a\\x1f' | trim }}|{{ '\\x1b a\\x20' | trim }}|{{ 'a\\x1fb'.split() }}{{ 'a\\x1bb'.split() }}{{ '\\x1c'.isspace() }}{{ '\\x1b'.isspace() }}{{ '\\x1f'.isspace() }}{{ ''.isspace() }}",
    "{{ 'ab'.startswith('a') }}{{ 'ab'.startswith(('x', 'a')) }}{{ 'ab'.startswith(('x', 'y')) }}{{ 'ab'.endswith('b') }}{{ 'ab'.endswith(('b',)) }}{{ 'ab'.removeprefix('a') }}{{ 'ab'.removesuffix('b') }}{{ 'ab'.removeprefix('b') }}", "{{ 'ab'.startswith(['a']) }}",
    "{% for x in [1, 2, 3] %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.depth }}{{ loop.depth0 }}{{ loop.length }}{{ loop.first }}{{ loop.last }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.cycle('a', 'b') }}{{ loop.changed(x // 2) }};{% endfor %}",
    "{{ [1, 2, 3, 4, 5][1:3] }}{{ [1, 2, 3, 4, 5][-2:] }}{{ [1, 2, 3, 4, 5][:-6] }}{{ [1, 2, 3, 4, 5][::2] }}{{ [1, 2, 3, 4, 5][::-2] }}{{ [1, 2, 3, 4, 5][4:1:-1] }}{{ [1, 2, 3, 4, 5][-1:-4:-2] }}{{ [1, 2, 3, 4, 5][9:] }}{{ [1, 2, 3, 4, 5][3:1] }}{{ [1, 2, 3, 4, 5][1:4:3] }}{{ [1, 2, 3, 4, 5][0:5:5] }}{{ [1, 2, 3, 4, 5][-9:9] }}{{ [1, 2, 3, 4, 5][9:-9:-1] }}{{ (1, 2, 3)[:2] }}",
    "{{ 'abcde'[1:3] }}{{ 'äöü'[1:] }}{{ 'äöü'[:1] }}{{ 'äöü'[::-1] }}{{ 'abcde'[::2] }}{{ 'abcde'[1:4:1] }}{{ 'abc'[3:] }}|{{ 'abc'[2:1] }}|{{ 'abc'[-1] }}{{ 'abc'[0] }}{{ 'abc'[-3] }}{{ 'abc'[3] is defined }}{{ 'abc'[-4] is defined }}{{ [1, 2][2] is defined }}{{ [1, 2][-3] is defined }}{{ [1, 2][-2] }}{{ [1, 2][1] }}",
    "{{ 5 // 2 }}{{ -5 // 2 }}{{ 5 // -2 }}{{ 4 // 2 }}{{ -4 // 2 }}{{ 5 % 3 }}{{ -5 % 3 }}{{ 5 % -3 }}{{ 6 % 3 }}{{ -6 % 3 }}{{ 0 // 5 }}{{ 0 % 5 }}{{ 5 / 2 }}{{ 5 // -1 }}{{ true + true }}{{ 2 - true }}{{ 2 ** 3 }}{{ 2 ** -2 }}{{ (-8) // 3.0 }}{{ 0.0 ** 0 }}", "{{ 0.0 ** -1 }}", "{{ 0 ** -1 }}", "{{ 5.0 // 0 }}", "{{ 5.0 % 0 }}", "{{ 5.0 / 0 }}", "{{ 10.0 ** 400 }}",
    "{{ [1, 2] < [1, 3] }}{{ [1, 2] < [1, 2] }}{{ [1] < [1, 2] }}{{ [1, 2] <= [1, 2] }}{{ 'a' < 'b' }}{{ 'a' >= 'a' }}{{ 1 < 1.5 }}{{ 1 == 1.0 }}{{ true == 1 }}{{ [1, 2] == [1, 2] }}{{ [1, 2] == [1, 3] }}{{ [1, 2] == [1] }}{{ (1, 2) == [1, 2] }}{{ {'a': 1} == {'a': 1.0} }}{{ {'a': 1} == {'a': 2} }}{{ {'a': 1} == {'b': 1} }}{{ {'a': 1} == {'a': 1, 'b': 2} }}{{ {1: 'a'} == {true: 'a'} }}{{ none == none }}{{ none == 0 }}{{ '' == 0 }}{{ [] == {} }}",
    "{{ 1 < 2 < 3 }}{{ 1 < 3 < 2 }}{{ 1 in [1] == true }}{{ 1 not in [2] }}{{ 'a' in 'abc' }}{{ 'x' in {'x': 1} }}{{ 1.0 in {1: 2} }}{{ [1] in [[1]] }}{{ none in [none] }}",
    "{{ [1, 'a', none, true, 1.5, [2], (3,), {'k': 'v'}, (), []] | tojson }}{{ {'b': 1, 'a': [1, {'c': none}]} | tojson(indent=2) }}{{ {'b': 1, 'a': 2} | tojson(sort_keys=true) }}{{ 'é\\u2028\\x7f\\x1f😀' | tojson }}{{ 'é\\u2028\\x7f\\x1f😀' | tojson(ensure_ascii=true) }}{{ [1, 2] | tojson(separators=(',', ':')) }}{{ {'a': 1} | tojson(separators=(',', '=')) }}{{ [] | tojson(indent=1) }}{{ {} | tojson(indent=1) }}{{ [1, [2]] | tojson(indent=0) }}{{ [1] | tojson(indent=-1) }}{{ [1] | tojson(indent='>') }}{{ {1: 2, none: 3, true: 4, 1.5: 6} | tojson }}",
    "{{ \"it's\" | list }}{{ [\"it's\", 'say \"x\"', \"it's \\\"x\\\"\", '\\\\', '\\n\\r\\t\\x00\\x1f\\x7f\\x80\\xa0\\xad\\u200b\\ud7ff\\U000e0001é'] }}", "{{ 'ab' | upper | list }}{{ 'aßé' | reverse }}{{ [1, 2] | reverse | list }}{{ {'a': 1, 'b': 2} | reverse | list }}{{ 'x' | first }}{{ '' | first is defined }}{{ 'xy' | last }}{{ [1, 2] | last }}{{ [] | last is defined }}{{ {'a': 1} | first }}",
    "{{ 1e16 }} {{ 1e15 }} {{ 9999999999999998.0 }} {{ 0.0001 }} {{ 0.00009 }} {{ -1e16 }} {{ -0.0001 }} {{ 1e22 }} {{ 123456.789e3 }} {{ 1.0 }} {{ 100.0 }} {{ 5e-324 }} {{ [1e16, 0.1] | tojson }} {{ 0.0 }}",
    "{{ range(3) }}{{ range(1, 3) }}{{ range(1, 9, 2) }}{{ range(5, 0, -2) | list }}{{ range(0) | list }}{{ range(3, 1) | list }}{{ range(1, 4, 1) }}{{ range(-2, 2) | list }}{{ range(0, 5, 5) | list }}{{ range(0, 6, 5) | list }}{{ range(2, -3, -5) | list }}{{ range(100000) | length }}", "{{ range(100001) | length }}", "{{ range(0, 1, 0) | list }}", "{{ range() }}", "{{ range('a') }}", "{{ range(1.0) }}", "{{ range(0, -100001, -1) | length }}",
    "{{ strftime_now('%Y-%m-%d %H:%M:%S %y %j %a %A %b %B %p %I %f %w %% %-d %-m %-H %-M %-S %-I %-j %e %D %T %R %F %h %n%t|') }}", "{{ strftime_now('') }}{{ strftime_now('x%%y') }}", "{{ ['a', 'b'].index('b') }}{{ [1, 1.0, 2].count(1) }}{{ {'a': 1}.get('a') }}{{ {'a': 1}.get('b') }}{{ {'a': 1}.get('b', 5) }}{{ {'a': 1}.items() | list }}{{ {'a': 1}.keys() | list }}{{ {'a': 1}.values() | list }}", "{{ [1].index(2) }}",
    "{{ 'hello wORLD-x (a [b {c <d' | title }}{{ \"it's 1a b2c\".title() }}{{ 'hELLO'.capitalize() }}{{ 'hELLO wORLD' | capitalize }}{{ 'ÀÉ' | lower }}{{ 'àé' | upper }}{{ 'ab1'.isalpha() }}{{ 'ab'.isalpha() }}{{ '12'.isdigit() }}{{ '1a'.isdigit() }}{{ 'AB1'.isupper() }}{{ 'Ab'.isupper() }}{{ 'ab1'.islower() }}{{ '12'.islower() }}{{ ''.isalpha() }}",
    "{% macro m(a, b=5, c=6) %}{{ a }}{{ b }}{{ c }};{% endmacro %}{{ m(1) }}{{ m(1, 2) }}{{ m(1, c=3) }}{{ m(b=2, a=1) }}{{ m(1, 2, 3) }}{{ m() }}", "{% macro m(a) %}{{ caller(a, 2) }}{% endmacro %}{% call(x, y=3) m(1) %}{{ x }}{{ y }}{% endcall %}{% call(x, y=3, z=4) m(1) %}{{ x }}{{ y }}{{ z }}{% endcall %}",
    "{% for a, b in [(1, 2), [3, 4]] %}{{ a }}{{ b }}{% endfor %}{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}{% set (p, q) = (8, 9) %}{{ p }}{{ q }}{% with a, b = (1, 2) %}{{ a }}{{ b }}{% endwith %}", "{% for a, b in [(1, 2, 3)] %}{% endfor %}",
    "{% for x in [1, 2, 3, 4] if x is even %}{{ loop.index }}{{ loop.length }}{{ x }}{% else %}e{% endfor %}{% for x in [1] if x > 1 %}a{% else %}e{% endfor %}{% for x in [] %}a{% else %}{% set x = 4 %}{{ x }}{% endfor %}{{ x is defined }}",
    "{% for x in [1, 2] %}{% for y in [3, 4] %}{{ loop.index }}{% if y == 3 %}{% continue %}{% endif %}{% break %}{% endfor %}{{ loop.index }}{% endfor %}", "{% set j = joiner() %}{% for x in [1, 2, 3] %}{{ j() }}{{ x }}{% endfor %}{% set k = joiner('|') %}{{ k() }}{{ k() }}{{ k() }}",
    "{{ [] is sequence }}{{ 'a' is sequence }}{{ {} is mapping }}{{ 1 is number }}{{ true is number }}{{ true is integer }}{{ 1.0 is float }}{{ 1 is integer }}{{ true is boolean }}{{ none is none }}{{ 'a' is string }}{{ [] is iterable }}{{ 1 is iterable }}{{ range is callable }}{{ 1 is callable }}{{ true is true }}{{ 1 is true }}{{ false is false }}{{ 3 is odd }}{{ 3 is even }}{{ 4 is divisibleby 2 }}{{ 5 is divisibleby(2) }}{{ 1 is in [1] }}{{ 1 is sameas true }}{{ 'A' is upper }}{{ 'a' is lower }}{{ 2 is gt 1 }}{{ 1 is ge 1 }}{{ 1 is lt 1 }}{{ 1 is le 1 }}{{ 1 is ne 2 }}{{ 2 is greaterthan 1 }}{{ 1 is lessthan 2 }}{{ 1 is equalto 1 }}{{ missing is undefined }}",
    "{{ true == 1 and 1.0 == true }}{{ {1: 'a', 1.0: 'b', true: 'c'} }}{{ {1: 'a'}[true] }}{{ {0: 'z'}[false] }}{{ {1.5: 'f'}[1.5] }}{{ {none: 1}[none] }}{{ {2: 'x'}[2.0] }}{{ {-1: 'm'}[-1.0] }}", "{{ -true }}{{ +3 }}{{ -(-3) }}{{ - 2.5 }}{{ +true }}{{ not 0 }}{{ not 'a' }}", "{{ -'a' }}", "{{ +[] }}",
    "{{ 'a' * 3 }}{{ 3 * 'a' }}{{ 'a' * 0 }}{{ 'a' * -1 }}{{ [1] * 2 }}{{ (1,) * 2 }}{{ 'a' * true }}{{ [] * 5 }}", "{{ 'a' * 1.0 }}", "{{ [1] + [2] }}{{ (1,) + (2,) }}", "{{ [1] + (2,) }}", "{{ 1 ~ 'a' ~ none ~ 1.0 ~ [1] }}", "{{ 'a' + 1 }}",
    "{{ 0x1f }}{{ 0b11 }}{{ 0o17 }}{{ 1_000 }}{{ 0 }}{{ 00 }}{{ 1.5e3 }}{{ 1e-2 }}{{ 1_0.5_0 }}{{ 1E2 }}{{ [[1, 2], [3]].1.0 }}{{ 'a'.upper().lower() }}", "{{ 012 }}", "{{ 1.e3 }}", "{{ 1_ }}", "{{ .5 }}",
    "{{ {9007199254740992: 'a'}[9007199254740992.0] }}{{ {9007199254740993: 'a'}[9007199254740992.0] is defined }}{{ {-9223372036854775807: 'a'}[-9223372036854775808.0] is defined }}{{ {4611686018427387904: 'x', 4611686018427387904.0: 'y'} }}{{ {1.5: 'x', 1e300: 'y'}[1e300] }}{{ {2: 'a'}[2.5] is defined }}",
    "{{ 9007199254740993 == 9007199254740992.0 }}{{ 9007199254740993 > 9007199254740992.0 }}{{ 9007199254740992.0 < 9007199254740993 }}{{ 9007199254740992 == 9007199254740992.0 }}{{ 9223372036854775807 < 9223372036854775808.0 }}{{ 1 < 1e400 }}{{ -1e400 < 1 }}{{ 0 == -0.0 }}{{ 1 <= 0.5 }}{{ true > 0.5 }}{{ false < 0.5 }}{{ false + 0.5 }}{{ false is number }}{{ 0.5 > false }}",
    "{{ [1].count() }}", "{{ 'a'.count() }}", "{{ [1].index() }}", "{{ {}.get() }}", "{{ 'a'.startswith() }}", "{{ 'a'.replace('a') }}", "{{ 'a'.partition() }}", "{{ 'a'.join() }}", "{{ 'a'.find() }}", "{{ 'a' | replace('a') }}", "{{ 'a' | attr }}", "{{ 1 is divisibleby }}", "{{ raise_exception() }}", "{{ strftime_now() }}",
    "{{ {true: 4, false: 5, 1.5: 6} | tojson }}{{ [1, 2,] }}{{ {'a': 1,} }}{{ [1, 2].count(1,) }}{{ [('nan' | float), ('inf' | float), ('-inf' | float)] | tojson }}{{ [1e400, -1e400] }}", "{{ ('nan' | float) < 1 }}{{ ('nan' | float) >= 1 }}{{ ('nan' | float) == ('nan' | float) }}{{ ('nan' | float) != 1 }}{{ 1 > ('nan' | float) }}",
    "{% for x in [1, 2] %}{{ loop.unheard is defined }}{{ loop | length }}{{ loop is iterable }}{{ loop is callable }}{% endfor %}", "{{ words | map('upper')(1) }}", "{{ [1,, 2] }}", "{{ [,] }}", "{{ {,} }}", "{{ range(1, ) | list }}", "{{ range(,) }}", "{{ 1 | }}", "{{ 1 is }}", "{{ (1, 2)[0] }}{{ (1,) }}{{ () }}{{ 1, 2 }}{{ (1, (2, 3)) }}",
    "{{ 'a'[0:1:1] }}{{ 'abc'[:] }}{{ 'abc'[::] }}{{ [1, 2][:] }}{{ 'abc'[none:2] }}{{ 'abc'[-9:2] }}{{ 'abc'[1:9] }}", "{{ d.a.c[1] }}{{ d['a']['c'][0] }}{{ people.0.name }}{{ nested[1].1.0 }}", "{% if not not yes %}a{% endif %}{{ not yes or yes }}{{ yes and no or 3 }}{{ 1 if no else 2 if no else 3 }}{{ 1 if yes }}{{ 1 if no }}|{{ (1 if no) is defined }}",
    "{{ 1 - 2 - 3 }}{{ 2 * 3 % 4 }}{{ 8 / 4 / 2 }}{{ 2 + 3 * 4 }}{{ (2 + 3) * 4 }}{{ -2 ** 2 }}{{ 2 ** -1 }}{{ 1 ~ (2 + 3) }}{{ 1 ~ 2 * 3 }}{{ not 1 == 2 }}{{ 1 < 2 == true }}{{ -1 | abs }}{{ (-1) | abs }}{{ 7 // 2 * 2 }}",
    "{{ '1e999' | float }}{{ '-1e999' | float }}{{ 'inf' | int(7) }}{{ '-inf' | int(8) }}{{ 'nan' | int(9) }}{{ '1e999' | int(1) }}{{ '-1e999' | int(2) }}{{ [1e999, -1e999, 1.0] }}{{ [1e999, -1e999] | tojson }}", "{{ (1e999 ** 2) }}{{ 2 ** 1e999 }}{{ 2 ** -1e999 }}{{ (-1e999) ** 3 }}",
    "{{ missing | default(range)(3) | list }}{{ missing | default(dict)(a=1) | list }}",
]

def render(text):
    try:
        return {"text": hf._compile_jinja_template(text).render(**VALUES)}
    except Exception as e:
        return {"error": f"{type(e).__name__}: {e}"}

cases = [{"template": t, **render(t)} for t in
         ["{{ %s }}" % e for e in EXPRESSIONS.strip("\n").replace("\\\nb", "\0b").split("\n")] + TEMPLATES + MORE]
for c in cases:  # the one expression that holds a line break
    if "\0" in c["template"]:
        c["template"] = c["template"].replace("\0", "\\\n")
        for k in ("text", "error"):
            c.pop(k, None)
        c.update(render(c["template"]))
    if "0x" in c.get("text", ""):  # an address
        c.pop("text")
        c["error"] = "an address"
out = pathlib.Path(__file__).with_name("goldens.json")
out.write_text(json.dumps({"values": VALUES, "cases": cases}, ensure_ascii=False, indent=0) + "\n")
print(len(cases), sum("error" in c for c in cases), "errors")
