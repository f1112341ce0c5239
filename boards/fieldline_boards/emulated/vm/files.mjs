// The board's file system: an Emscripten file system type that lives in a folder of the host.
//
// Rules, as littlefs keeps them: a file's new content is durable at flush or close and not before; creating, renaming
// and removing are atomic; a file is all old or all new after a power cut. Each such step is one flash operation.
// Folders in `hidden` (name -> host folder, read-only) can be imported from but are never listed.
import fs from 'node:fs';
import path from 'node:path';

const DIRECTORY = 0o040777;
const FILE = 0o100666;
const EIO = 29; // WASI numbers, as every Emscripten file system gives them
const EROFS = 69;
const WASI = { ENOENT: 44, EEXIST: 20, ENOTEMPTY: 55, ENOTDIR: 54, EISDIR: 31, EACCES: 2, EPERM: 63, ENOSPC: 51 };

// File system type for FS.mount(type, options). Options: {folder, scratch, hidden, operation}; `operation(apply)`
// runs one durable step, `scratch` is a folder beside `folder` for half-written files.
export function hostFiles(FS) {
  const guarded = (step) => {
    try {
      return step();
    } catch (error) {
      if (error instanceof FS.ErrnoError) throw error;
      throw new FS.ErrnoError(WASI[error.code] ?? EIO);
    }
  };

  const hostPath = (node) => node.host ?? path.join(hostPath(node.parent), node.name);
  const readOnly = (node) => node.sealed ?? (node === node.parent ? false : readOnly(node.parent));
  const isDirectory = (node) => FS.isDir(node.mode);

  function durable(node, apply) {
    if (readOnly(node)) throw new FS.ErrnoError(EROFS);
    guarded(() => node.mount.opts.operation(apply));
  }

  function makeNode(parent, name, mode) {
    const node = FS.createNode(parent, name, mode, 0);
    node.node_ops = nodeOps;
    node.stream_ops = streamOps;
    node.content = null; // {data, dirty} while a stream is open
    node.streams = 0;
    return node;
  }

  function load(node) {
    node.content ??= { data: guarded(() => fs.readFileSync(hostPath(node))), dirty: false };
    return node.content;
  }

  function commit(node) {
    if (!node.content?.dirty || node.gone) return;
    node.content.dirty = false;
    const { data } = node.content;
    const scratch = path.join(node.mount.opts.scratch, 'half-written');
    const target = hostPath(node);
    durable(node, () => {
      fs.writeFileSync(scratch, data);
      fs.renameSync(scratch, target);
    });
  }

  const nodeOps = {
    lookup(parent, name) {
      const overlay = parent === parent.parent ? parent.mount.opts.hidden?.[name] : undefined;
      const host = overlay ?? path.join(hostPath(parent), name);
      const stat = guarded(() => fs.statSync(host));
      const node = makeNode(parent, name, stat.isDirectory() ? DIRECTORY : FILE);
      if (overlay) Object.assign(node, { host, sealed: true });
      return node;
    },
    getattr(node) {
      const stat = guarded(() => fs.statSync(hostPath(node)));
      const size = isDirectory(node) ? 0 : (node.content?.data.length ?? stat.size);
      const { atime, mtime, ctime } = stat;
      return {
        dev: 1, ino: node.id, mode: node.mode, nlink: 1, uid: 0, gid: 0, rdev: 0, size,
        atime, mtime, ctime, blksize: 4096, blocks: Math.ceil(size / 4096),
      };
    },
    setattr(node, attr) {
      if (attr.size === undefined) return;
      const content = load(node);
      content.data = resized(content.data, attr.size);
      content.dirty = true;
    },
    mknod(parent, name, mode) {
      const host = path.join(hostPath(parent), name);
      durable(parent, () => (FS.isDir(mode) ? fs.mkdirSync(host) : fs.writeFileSync(host, '')));
      return makeNode(parent, name, FS.isDir(mode) ? DIRECTORY : FILE);
    },
    rename(node, folder, name) {
      const from = hostPath(node);
      const to = path.join(hostPath(folder), name);
      durable(folder, () => fs.renameSync(from, to));
      node.name = name;
    },
    unlink(parent, name) {
      FS.lookupNode(parent, name).gone = true;
      durable(parent, () => fs.unlinkSync(path.join(hostPath(parent), name)));
    },
    rmdir(parent, name) {
      durable(parent, () => fs.rmdirSync(path.join(hostPath(parent), name)));
    },
    readdir(node) {
      return ['.', '..', ...guarded(() => fs.readdirSync(hostPath(node)))];
    },
  };

  const streamOps = {
    open(stream) {
      if (!isDirectory(stream.node)) {
        load(stream.node);
        stream.node.streams += 1;
      }
    },
    close(stream) {
      const { node } = stream;
      if (isDirectory(node)) return;
      commit(node);
      node.streams -= 1;
      if (node.streams === 0) node.content = null;
    },
    fsync(stream) {
      commit(stream.node);
      return 0;
    },
    read(stream, buffer, offset, length, position) {
      const part = stream.node.content.data.subarray(position, position + length);
      new Uint8Array(buffer.buffer, buffer.byteOffset + offset, part.length).set(part);
      return part.length;
    },
    write(stream, buffer, offset, length, position) {
      if (readOnly(stream.node)) throw new FS.ErrnoError(EROFS);
      const { content } = stream.node;
      content.data = resized(content.data, Math.max(content.data.length, position + length));
      content.data.set(new Uint8Array(buffer.buffer, buffer.byteOffset + offset, length), position);
      content.dirty = true;
      return length;
    },
    llseek(stream, offset, whence) {
      const base = [0, stream.position, stream.node.content?.data.length ?? 0][whence];
      if (base + offset < 0) throw new FS.ErrnoError(28);
      return base + offset;
    },
  };

  return {
    mount(mount) {
      const root = makeNode(null, '/', DIRECTORY);
      root.host = mount.opts.folder;
      root.mount = mount;
      return root;
    },
  };
}

function resized(data, size) {
  if (size <= data.length) return data.subarray(0, size);
  const grown = Buffer.alloc(size);
  data.copy(grown);
  return grown;
}
