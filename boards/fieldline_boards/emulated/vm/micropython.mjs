// The MicroPython VM itself: loads the WebAssembly module and gives it errno, console streams and mounts.
//
// Rules: only this file knows the package's name and its internals. Python sees the board's files as `/`;
// Emscripten's own directories stay hidden from it.
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const PACKAGE = '@micropython/micropython-webassembly-pyscript';

// Emscripten's file system reports WASI numbers, MicroPython's `errno` module has its own (py/mperrno.h).
const MP_ERRNO = new Map([
  [2, 13], [6, 11], [8, 9], [10, 16], [20, 17], [22, 27], [27, 4], [28, 22], [29, 5], [31, 21], [32, 40], [33, 24],
  [36, 90], [37, 36], [43, 19], [44, 2], [48, 12], [51, 28], [52, 38], [54, 20], [55, 39], [59, 25], [60, 6],
  [63, 1], [69, 30], [70, 29], [75, 18],
]);

// Loads the VM out of `modules` (a node_modules folder). `heapBytes` is where the heap starts, not a limit:
// this port grows it. Returns {mp, module, FS}.
export async function load(modules, heapBytes) {
  const entry = path.join(modules, PACKAGE, 'micropython.mjs');
  const { loadMicroPython } = await import(pathToFileURL(entry));
  const instantiate = WebAssembly.instantiate;
  WebAssembly.instantiate = (binary, imports) => instantiate(binary, withErrno(imports));
  try {
    const mp = await loadMicroPython({ heapsize: heapBytes, pystack: 4096, linebuffer: false });
    return { mp, module: mp._module, FS: mp.FS };
  } finally {
    WebAssembly.instantiate = instantiate;
  }
}

// The VM's imports with every error number translated where it crosses into C: system calls return it negative,
// the WASI calls (fd_*) positive.
function withErrno(imports) {
  const translate = (name, call) => {
    if (name.startsWith('__syscall_')) return (...args) => negated(call(...args));
    if (name.startsWith('fd_')) return (...args) => translated(call(...args));
    return call;
  };
  return Object.fromEntries(Object.entries(imports).map(([space, calls]) => [
    space, Object.fromEntries(Object.entries(calls).map(([name, call]) => [name, translate(name, call)])),
  ]));
}

const translated = (errno) => MP_ERRNO.get(errno) ?? errno;
const negated = (result) => (result < 0 ? -translated(-result) : result);

// Puts write(Uint8Array), read(maximum) -> Uint8Array and readable() -> boolean behind sys.stdin and sys.stdout.
export function attachConsole(FS, { write, read, readable }) {
  const POLLIN = 1;
  const POLLOUT = 4;
  const stdin = FS.getStream(0);
  stdin.stream_ops = {
    ...stdin.stream_ops,
    poll: () => (readable() ? POLLIN : 0),
    read(_stream, buffer, offset, length) {
      const data = read(length);
      new Uint8Array(buffer.buffer, buffer.byteOffset + offset, data.length).set(data);
      return data.length;
    },
  };
  for (const fd of [1, 2]) {
    const stream = FS.getStream(fd);
    stream.stream_ops = {
      ...stream.stream_ops,
      poll: () => POLLOUT,
      write(_stream, buffer, offset, length) {
        write(new Uint8Array(buffer.buffer, buffer.byteOffset + offset, length));
        return length;
      },
    };
  }
}

// Mounts an Emscripten file system as Python's `/`; its hidden folders are appended to sys.path.
export function mountRoot(vm, type, options) {
  vm.FS.mkdir('/board');
  vm.FS.mount(type, options, '/board');
  const folders = Object.keys(options.hidden).map((name) => `/${name}`);
  vm.mp.runPython(`
import vfs, sys, os
vfs.umount('/')
vfs.mount(vfs.VfsPosix('/board'), '/')
os.chdir('/')
sys.path[:] = ['', '.frozen', '/lib'] + ${JSON.stringify(folders)}
del vfs, sys, os
`);
}

// Memory of the VM at `address`, valid until the next call into it.
export function memory(vm, address, length) {
  return vm.module.HEAPU8.subarray(address, address + length);
}
