// Macros of OpenSSL as functions, since Swift's importer leaves macros with arguments out, and a BIO over borrowed memory.
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

// MARK: The wire: where the records of all connections of one thread come from and go to

/// What the peer sent and is not read yet, and what is to be sent to it. One serves all connections of a thread, since OpenSSL
/// keeps nothing in it between two calls: it reads until there is nothing left, and what it wrote is taken after each call.
typedef struct {
    const unsigned char *input;
    size_t input_size;
    unsigned char *output;
    size_t output_size;
    size_t output_capacity;
} apus_wire;

static int apus_wire_read(BIO *bio, char *data, int size) {
    apus_wire *wire = (apus_wire *)BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (!wire || size <= 0 || !wire->input_size) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t count = (size_t)size < wire->input_size ? (size_t)size : wire->input_size;
    memcpy(data, wire->input, count);
    wire->input += count;
    wire->input_size -= count;
    return (int)count;
}

static int apus_wire_write(BIO *bio, const char *data, int size) {
    apus_wire *wire = (apus_wire *)BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (!wire || size <= 0) return -1;
    size_t needed = wire->output_size + (size_t)size;
    if (needed > wire->output_capacity) {
        size_t capacity = needed > 2 * wire->output_capacity ? needed : 2 * wire->output_capacity;
        unsigned char *larger = (unsigned char *)realloc(wire->output, capacity);
        if (!larger) return -1;
        wire->output = larger;
        wire->output_capacity = capacity;
    }
    memcpy(wire->output + wire->output_size, data, (size_t)size);
    wire->output_size += (size_t)size;
    return size;
}

static long apus_wire_control(BIO *bio, int command, long number, void *pointer) {
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static int apus_wire_begin(BIO *bio) {
    BIO_set_init(bio, 1);
    return 1;
}

/// The method of BIOs over a wire; made once for the process.
static inline BIO_METHOD *apus_wire_method(void) {
    BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "wire");
    if (!method) return 0;
    BIO_meth_set_read(method, apus_wire_read);
    BIO_meth_set_write(method, apus_wire_write);
    BIO_meth_set_ctrl(method, apus_wire_control);
    BIO_meth_set_create(method, apus_wire_begin);
    return method;
}

// MARK: Macros

static inline int apus_ssl_set_minimum(SSL_CTX *context, int version) {
    return (int)SSL_CTX_set_min_proto_version(context, version);
}
static inline void apus_ssl_set_modes(SSL_CTX *context) {
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(
        context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_max_cert_list(context, 64 * 1024);
}
static inline int apus_ssl_set_name(SSL *ssl, const char *name) { return (int)SSL_set_tlsext_host_name(ssl, name); }
static inline const char *apus_error_reason(unsigned long error) { return ERR_reason_error_string(error); }

// MARK: Keys

/// Answers the question for a key's password with `pointer`, or fails: the default asks on the terminal.
static int apus_password(char *buffer, int size, int writing, void *pointer) {
    (void)writing;
    size_t length = pointer ? strlen((const char *)pointer) : 0;
    if (!length || length > (size_t)size) return -1;
    memcpy(buffer, pointer, length);
    return (int)length;
}

/// Reads the private key that belongs to the certificate of `context`.
static inline int apus_use_key(SSL_CTX *context, const char *path, const char *password) {
    SSL_CTX_set_default_passwd_cb(context, apus_password);
    SSL_CTX_set_default_passwd_cb_userdata(context, (void *)password);
    int result = SSL_CTX_use_PrivateKey_file(context, path, SSL_FILETYPE_PEM) == 1 && SSL_CTX_check_private_key(context) == 1;
    SSL_CTX_set_default_passwd_cb_userdata(context, 0);
    return result;
}

/// Below 0 when the certificate of `context` has expired, above 0 when it has not begun to be valid, else 0.
static inline int apus_validity(SSL_CTX *context) {
    X509 *certificate = SSL_CTX_get0_certificate(context);
    if (!certificate) return 0;
    if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0) return -1;
    return X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0 ? 1 : 0;
}

// MARK: Signatures

/// HMAC-SHA1 with a key, to be begun anew for each message; null when there is none.
static inline EVP_MAC_CTX *apus_hmac_sha1(const void *key, size_t size) {
    EVP_MAC *mac = EVP_MAC_fetch(0, "HMAC", 0);
    EVP_MAC_CTX *context = mac ? EVP_MAC_CTX_new(mac) : 0;
    EVP_MAC_free(mac);
    OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string("digest", (char *)"SHA1", 0), OSSL_PARAM_construct_end()};
    if (context && EVP_MAC_init(context, (const unsigned char *)key, size, parameters) != 1) {
        EVP_MAC_CTX_free(context);
        return 0;
    }
    return context;
}
