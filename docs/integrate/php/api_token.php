<?php

declare(strict_types=1);

/*
 * Makes a chat2llm api_token: what tells chat2llm which of your users is asking. PHP 8.0 or newer.
 *
 *     php api_token.php oa_public.pem oa zhangsan 张三
 *
 * Runs on your own server only. Whoever has this "public" key can make a token for any of your users, so neither the
 * key nor this code goes into a page, an app or a repository that others read.
 */

const OAEP_HASH_BYTES = 20; // PHP's OAEP is OAEP with SHA-1

/**
 * A token for this user that is made now.
 *
 * @throws InvalidArgumentException for what chat2llm would refuse
 */
function make_api_token(OpenSSLAsymmetricKey $publicKey, string $clientId, string $userId, string $username = ''): string
{
    if (!preg_match('/^[A-Za-z0-9_-]{1,32}$/D', $clientId)) {
        throw new InvalidArgumentException('client_id must be 1 to 32 letters, digits, _ or -');
    }
    if (!preg_match('/^[^|\p{C}]+$/Du', $userId) || strlen($userId) > 64 || $userId !== trim($userId)) {
        throw new InvalidArgumentException(
            'user_id must be 1 to 64 bytes, without |, invisible characters and spaces at its ends'
        );
    }
    if (str_contains($username, '|')) {
        throw new InvalidArgumentException('username must not contain |');
    }

    $plain = implode('|', [$clientId, $userId, $username, time()]);
    $tooLong = strlen($plain) - (openssl_pkey_get_details($publicKey)['bits'] / 8 - 2 * OAEP_HASH_BYTES - 2);
    if ($tooLong > 0) {
        throw new InvalidArgumentException(
            "$tooLong bytes too long for this key: shorten the username or leave it empty"
        );
    }

    // The padding must be named: without it PHP uses PKCS#1 v1.5, which chat2llm refuses.
    if (!openssl_public_encrypt($plain, $sealed, $publicKey, OPENSSL_PKCS1_OAEP_PADDING)) {
        throw new InvalidArgumentException('the key cannot encrypt: ' . openssl_error_string());
    }
    return base64_encode($clientId . '|' . base64_encode($sealed));
}

if (PHP_SAPI === 'cli' && realpath($argv[0]) === __FILE__) {
    if ($argc !== 5) {
        fwrite(STDERR, "usage: php api_token.php PUBLIC_PEM CLIENT_ID USER_ID USERNAME\n");
        exit(2);
    }
    $publicKey = is_readable($argv[1]) ? openssl_pkey_get_public(file_get_contents($argv[1])) : false;
    if ($publicKey === false) {
        fwrite(STDERR, "no public key in {$argv[1]}\n");
        exit(1);
    }
    try {
        echo make_api_token($publicKey, $argv[2], $argv[3], $argv[4]), "\n";
    } catch (InvalidArgumentException $error) {
        fwrite(STDERR, $error->getMessage() . "\n");
        exit(1);
    }
}
