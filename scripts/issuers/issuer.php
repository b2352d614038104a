<?php

// One golden token (see ../make_token_vectors.py): issuer.php PEM PADDING raw|base64 OUTER PLAIN.
[, $file, $padding, $inner, $outer, $plain] = $argv;

$key = openssl_pkey_get_public(file_get_contents($file));
openssl_public_encrypt($plain, $sealed, $key, constant($padding)) || exit(1);
$body = strstr($plain, '|', true) . '|' . ($inner === 'raw' ? $sealed : base64_encode($sealed));
echo match ($outer) {
    'standard' => base64_encode($body),
    'url-safe' => strtr(base64_encode($body), '+/', '-_'),
    'unpadded' => rtrim(base64_encode($body), '='),
    'lines' => chunk_split(base64_encode($body)),
};
