/* Preloaded into Debian's bluetooth-meshd 5.66 so that it runs with neither Bluetooth nor AF_ALG.
 *
 *  - ell's ciphers and CMAC are made of OpenSSL's, for kernels and containers without the crypto socket;
 *  - `--io unit` sends on a bound socket that was never connected: the address is MESHD_PEER;
 *  - `--io unit` takes the size of a datagram for the last index into it: one less is told;
 *  - `--io unit` sends one advert in the interval of the one before, so that all wait behind a beacon's half second:
 *    the wait is cut to 20 ms.
 *
 * cc -O2 -shared -fPIC -o shim.so shim.c -lcrypto -ldl
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define KEY 16
#define LONGEST 512 /* an access message of 384 bytes is the longest text */

struct l_cipher { unsigned char key[KEY]; };
struct l_aead_cipher { unsigned char key[KEY]; size_t tag; };
struct l_checksum { EVP_MAC *mac; EVP_MAC_CTX *context; unsigned char key[KEY]; };

struct l_cipher *l_cipher_new(int type, const void *key, size_t size)
{
	struct l_cipher *cipher = size == KEY ? malloc(sizeof(*cipher)) : NULL;

	(void) type;
	if (cipher)
		memcpy(cipher->key, key, KEY);
	return cipher;
}

void l_cipher_free(struct l_cipher *cipher)
{
	free(cipher);
}

bool l_cipher_encrypt(struct l_cipher *cipher, const void *in, void *out, size_t size)
{
	EVP_CIPHER_CTX *aes = EVP_CIPHER_CTX_new();
	int done = 0;
	bool ok = EVP_EncryptInit_ex(aes, EVP_aes_128_ecb(), NULL, cipher->key, NULL) &&
		EVP_CIPHER_CTX_set_padding(aes, 0) && EVP_EncryptUpdate(aes, out, &done, in, (int) size);

	EVP_CIPHER_CTX_free(aes);
	return ok;
}

struct l_aead_cipher *l_aead_cipher_new(int type, const void *key, size_t size, size_t tag)
{
	struct l_aead_cipher *cipher = size == KEY ? malloc(sizeof(*cipher)) : NULL;

	(void) type;
	if (cipher) {
		memcpy(cipher->key, key, KEY);
		cipher->tag = tag;
	}
	return cipher;
}

void l_aead_cipher_free(struct l_aead_cipher *cipher)
{
	free(cipher);
}

/* CCM of `size` bytes of text; `tag` is written when `seal`, else compared. */
static bool ccm(struct l_aead_cipher *cipher, bool seal, const void *in, size_t size, const void *aad, size_t aad_size,
		const void *nonce, size_t nonce_size, void *out, unsigned char *tag)
{
	EVP_CIPHER_CTX *aes = EVP_CIPHER_CTX_new();
	unsigned char text[LONGEST];
	int done, way = seal ? 1 : 0;
	bool ok = size <= sizeof(text) && EVP_CipherInit_ex(aes, EVP_aes_128_ccm(), NULL, NULL, NULL, way) &&
		EVP_CIPHER_CTX_ctrl(aes, EVP_CTRL_AEAD_SET_IVLEN, (int) nonce_size, NULL) &&
		EVP_CIPHER_CTX_ctrl(aes, EVP_CTRL_AEAD_SET_TAG, (int) cipher->tag, seal ? NULL : tag) &&
		EVP_CipherInit_ex(aes, NULL, NULL, cipher->key, nonce, way) &&
		EVP_CipherUpdate(aes, NULL, &done, NULL, (int) size) &&
		(!aad_size || EVP_CipherUpdate(aes, NULL, &done, aad, (int) aad_size)) &&
		EVP_CipherUpdate(aes, text, &done, in, (int) size) > 0 &&
		(!seal || EVP_CIPHER_CTX_ctrl(aes, EVP_CTRL_AEAD_GET_TAG, (int) cipher->tag, tag));

	if (ok)
		memcpy(out, text, size);
	EVP_CIPHER_CTX_free(aes);
	return ok;
}

bool l_aead_cipher_encrypt(struct l_aead_cipher *cipher, const void *in, size_t size, const void *aad, size_t aad_size,
		const void *nonce, size_t nonce_size, void *out, size_t out_size)
{
	return out_size >= size + cipher->tag &&
		ccm(cipher, true, in, size, aad, aad_size, nonce, nonce_size, out, (unsigned char *) out + size);
}

bool l_aead_cipher_decrypt(struct l_aead_cipher *cipher, const void *in, size_t size, const void *aad, size_t aad_size,
		const void *nonce, size_t nonce_size, void *out, size_t out_size)
{
	return size >= cipher->tag && out_size >= size - cipher->tag &&
		ccm(cipher, false, in, size - cipher->tag, aad, aad_size, nonce, nonce_size, out,
			(unsigned char *) in + size - cipher->tag);
}

static bool start(struct l_checksum *sum)
{
	OSSL_PARAM parameters[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_CIPHER, "AES-128-CBC", 0), OSSL_PARAM_construct_end()
	};

	return EVP_MAC_init(sum->context, sum->key, KEY, parameters);
}

void l_checksum_free(struct l_checksum *sum)
{
	if (!sum)
		return;
	EVP_MAC_CTX_free(sum->context);
	EVP_MAC_free(sum->mac);
	free(sum);
}

struct l_checksum *l_checksum_new_cmac_aes(const void *key, size_t size)
{
	struct l_checksum *sum = size == KEY ? calloc(1, sizeof(*sum)) : NULL;

	if (!sum)
		return NULL;
	memcpy(sum->key, key, KEY);
	sum->mac = EVP_MAC_fetch(NULL, "CMAC", NULL);
	sum->context = EVP_MAC_CTX_new(sum->mac);
	if (!start(sum)) {
		l_checksum_free(sum);
		return NULL;
	}
	return sum;
}

bool l_checksum_update(struct l_checksum *sum, const void *data, size_t size)
{
	return EVP_MAC_update(sum->context, data, size);
}

ssize_t l_checksum_get_digest(struct l_checksum *sum, void *out, size_t size)
{
	unsigned char digest[16];
	size_t done = 0;

	if (!EVP_MAC_final(sum->context, digest, &done, sizeof(digest)) || !start(sum))
		return -1;
	if (size > done)
		size = done;
	memcpy(out, digest, size);
	return (ssize_t) size;
}

/* Whether `fd` is the bound datagram socket of --io unit. */
static bool is_unit(int fd)
{
	struct sockaddr_un name;
	socklen_t size = sizeof(name), kind_size = sizeof(int);
	int kind = 0;

	memset(&name, 0, sizeof(name));
	return !getsockopt(fd, SOL_SOCKET, SO_TYPE, &kind, &kind_size) && kind == SOCK_DGRAM &&
		!getsockname(fd, (struct sockaddr *) &name, &size) && name.sun_family == AF_UNIX &&
		size > sizeof(name.sun_family) && name.sun_path[0] == '/';
}

ssize_t send(int fd, const void *data, size_t size, int flags)
{
	static ssize_t (*real)(int, const void *, size_t, int);
	const char *peer = getenv("MESHD_PEER");
	struct sockaddr_un name = { .sun_family = AF_UNIX };

	if (!real)
		real = dlsym(RTLD_NEXT, "send");
	if (!peer || !is_unit(fd))
		return real(fd, data, size, flags);
	strncpy(name.sun_path, peer, sizeof(name.sun_path) - 1);
	return sendto(fd, data, size, flags, (struct sockaddr *) &name, sizeof(name));
}

ssize_t recv(int fd, void *data, size_t size, int flags)
{
	static ssize_t (*real)(int, void *, size_t, int);
	ssize_t got;

	if (!real)
		real = dlsym(RTLD_NEXT, "recv");
	got = real(fd, data, size, flags);
	return got > 1 && is_unit(fd) ? got - 1 : got;
}

#define SLOT_MS 20
#define LONGEST_SLOT_MS 500

struct l_timeout;

static uint64_t cut(uint64_t ms)
{
	return ms > SLOT_MS && ms <= LONGEST_SLOT_MS ? SLOT_MS : ms;
}

void l_timeout_modify_ms(struct l_timeout *timeout, uint64_t ms)
{
	static void (*real)(struct l_timeout *, uint64_t);

	if (!real)
		real = dlsym(RTLD_NEXT, "l_timeout_modify_ms");
	real(timeout, cut(ms));
}

struct l_timeout *l_timeout_create_ms(uint64_t ms, void *callback, void *data, void *destroy)
{
	static struct l_timeout *(*real)(uint64_t, void *, void *, void *);

	if (!real)
		real = dlsym(RTLD_NEXT, "l_timeout_create_ms");
	return real(cut(ms), callback, data, destroy);
}
