#!/usr/bin/env python3
"""run_packages.py --peer FILE [--oracle FILE] --cache DIR [--keep] LIST   The units of real packages, beside systemd.

Downloads the Debian packages that LIST names (one a line, then a colon-separated part is a comment), unpacks their unit files without
installing anything, loads all of them in both managers, and compares the load state of every .socket and .service, and of those that
are loaded every property that systemd shows. LIST also says which properties are not compared, with the reason (lines
"- PROPERTY…: why", "- UNIT PROPERTY…: why"; with ~ for what differs on some hosts only). Prints FAIL lines, what differs by
property, and counts. A reason that no difference needs any more is a failure as well."""
import collections, glob, os, re, shutil, subprocess, sys, tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
peer, oracle, cache, listing, verbose = None, HERE + '/peer_systemd.sh', None, None, False
arguments = iter(sys.argv[1:])
for argument in arguments:
    if argument == '--peer': peer = os.path.abspath(next(arguments))
    elif argument == '--oracle': oracle = os.path.abspath(next(arguments))
    elif argument == '--cache': cache = os.path.abspath(next(arguments))
    elif argument == '-v': verbose = True
    else: listing = argument

NAMES = set('After Before Requires Requisite Wants BindsTo PartOf Upholds Conflicts OnFailure OnSuccess Triggers PropagatesReloadTo '
    'ReloadPropagatedFrom PropagatesStopTo StopPropagatedFrom JoinsNamespaceOf RequiresMountsFor Names Documentation Sockets'.split())

def run(*command, **options):
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)

def text(result):
    return result.stdout.decode('utf-8', 'replace')

def read_listing():
    packages, left_out, by_host = [], {}, set()
    for line in open(listing):
        what, _, why = line.rstrip('\n').partition(':')
        if what.startswith(('- ', '~ ')):
            words = what.split()[1:]
            unit = words.pop(0) + ' ' if '.' in words[0] else ''
            left_out |= {unit + word: why.strip() for word in words}
            if what.startswith('~'): by_host |= {unit + word for word in words}
        elif what and not what.startswith('#'): packages += what.split()
    return packages, left_out, by_host

def download(packages):
    """The files of the packages, of the versions of the day; what is in the cache is not fetched again."""
    os.makedirs(cache, exist_ok=True)
    for attempt in range(2):
        # Where a file is there already, apt-get does not print it.
        with tempfile.TemporaryDirectory() as empty:
            uris = text(run('apt-get', 'download', '--print-uris', *packages, cwd=empty))
        files = re.findall(r"^'[^']+' (\S+) (\d+)", uris, re.M)
        if len(files) >= len(packages): break
        run('apt-get', 'update', '-qq')
    else:
        sys.exit(f'apt-get knows {len(files)} of {len(packages)} packages')
    here = lambda file, size: os.path.isfile(f'{cache}/{file}') and os.path.getsize(f'{cache}/{file}') == int(size)
    if not all(here(*file) for file in files):
        run('apt-get', 'download', '-qq', *packages, cwd=cache, check=True)
    for old in set(os.listdir(cache)) - {file for file, _ in files}: os.unlink(f'{cache}/{old}')
    return [f'{cache}/{file}' for file, _ in files]

def unpack(files, kind, to):
    """The unit files for managers of a kind, system or user, in one directory, as a search path would have them."""
    os.makedirs(to)
    for file in sorted(files):
        part = tempfile.mkdtemp(dir=os.path.dirname(to))
        archive = subprocess.Popen(['dpkg-deb', '--fsys-tarfile', file], stdout=subprocess.PIPE)
        subprocess.run(['tar', '-x', '-C', part, '--wildcards', f'*lib/systemd/{kind}/*'], stdin=archive.stdout, stderr=subprocess.DEVNULL)
        archive.wait()
        for root in glob.glob(f'{part}/lib/systemd/{kind}') + glob.glob(f'{part}/usr/lib/systemd/{kind}'):
            subprocess.run(['cp', '-a', '--no-clobber', root + '/.', to], check=True)
        shutil.rmtree(part)

def units_of(directory):
    names = [name for name in sorted(os.listdir(directory)) if name.endswith(('.socket', '.service'))]
    return [name.replace('@.', '@x.') for name in names]

class Side:
    """A manager behind its peer script."""
    def __init__(self, script):
        self.script = script
        run(script, 'up', check=True)
        self.places = text(run(script, 'unitsdir')).split('\n')[0], *text(run(script, 'places')).split()

    def load(self, directory): run(self.script, 'load', directory, check=True)

    def show(self, names):
        """{unit: {property: text}}, with the places where the managers differ by nature replaced."""
        found = {}
        for at in range(0, len(names), 100):
            blocks = text(run(self.script, 'show-all', *names[at:at + 100])).rstrip('\n').split('\n\n')
            for name, block in zip(names[at:at + 100], blocks, strict=True): found[name] = self.properties(block)
        return found

    def properties(self, block):
        for place, word in zip(self.places, ('{UNITS}', '{HOME}', '{RUNTIME}')): block = block.replace(place, word)
        properties, last = {}, None
        for line in block.split('\n'):
            assignment = re.match(r'([A-Z][A-Za-z0-9]*)=(.*)', line)
            if assignment:
                last, value = assignment.groups()
                properties[last] = properties[last] + '\n' + value if last in properties else value
            elif last: properties[last] += '\n' + line
        return properties

INVERSE = {'After': 'Before', 'Before': 'After', 'Conflicts': 'ConflictedBy'}

def own_names(sides, side, unit, name):
    """What the unit itself depends on: of the other units' dependencies systemd shows those that it happens to have loaded."""
    others = lambda other: ' '.join(any.get(other, {}).get(INVERSE.get(name, ''), '') for any in sides).split()
    names = {other for other in side[unit].get(name, '').split() if unit not in others(other)}
    # sockmgr has neither mounts nor, but for names, slices.
    return {other for other in names if not other.rstrip('"').endswith(('.mount', '.slice'))}

def same(name, unit, one, other):
    ours, theirs = one[unit].get(name), other[unit][name]
    if name in NAMES: return ours is not None and own_names((one, other), one, unit, name) == own_names((one, other), other, unit, name)
    return (ours or '') == theirs if theirs == '' else ours == theirs

packages, left_out, by_host = read_listing()
files = download(packages)
ours, theirs = Side(peer), Side(oracle)
place = tempfile.mkdtemp(prefix='units')
counts, sockets, failed, differing, used = 0, 0, 0, collections.defaultdict(list), set()
for kind in ('system', 'user'):
    directory = f'{place}/{kind}'
    unpack(files, kind, directory)
    for side in ours, theirs: side.load(directory)
    names = units_of(directory)
    counts += len(names); sockets += sum(name.endswith('.socket') for name in names)
    targets = [name for name in os.listdir(directory) if name.endswith('.target') and '@' not in name]
    one, other = ours.show(names + targets), theirs.show(names + targets)
    for unit in names:
        wrong = []
        for name, value in other[unit].items():
            if name != 'LoadState' and other[unit]['LoadState'] != 'loaded' or same(name, unit, one, other): continue
            reasons = {reason for reason in (name, f'{unit} {name}') if reason in left_out}
            used |= reasons
            if not reasons: wrong.append(name); differing[name].append((unit, value, one[unit].get(name)))
        if wrong: failed += 1; print(f'FAIL {unit}: {" ".join(wrong)}')
for side in ours, theirs: run(side.script, 'clean')
shutil.rmtree(place)
for name, cases in sorted(differing.items(), key=lambda item: -len(item[1])):
    print(f'{len(cases):5} {name}')
    for unit, value, mine in cases[:None if verbose else 2]: print(f'        {unit}: {mine!r}, systemd: {value!r}'[:400])
stale = sorted(set(left_out) - used - by_host)
for reason in stale: print(f'STALE {reason}: nothing differs')
print(f'{len(packages)} packages, {counts} units, {sockets} of them sockets; {failed} differ')
sys.exit(1 if failed or stale else 0)
