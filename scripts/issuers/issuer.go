// One golden token (see ../make_token_vectors.py): issuer PEM PADDING raw|base64 OUTER PLAIN.
package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"os"
	"strings"
)

func main() {
	file, padding, inner, outer, plain := os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]
	data, err := os.ReadFile(file)
	check(err)
	block, _ := pem.Decode(data)
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	check(err)
	key := parsed.(*rsa.PublicKey)

	var sealed []byte
	switch padding {
	case "EncryptOAEP sha256":
		sealed, err = rsa.EncryptOAEP(sha256.New(), rand.Reader, key, []byte(plain), nil)
	case "EncryptOAEP sha1":
		sealed, err = rsa.EncryptOAEP(sha1.New(), rand.Reader, key, []byte(plain), nil)
	case "EncryptPKCS1v15":
		sealed, err = rsa.EncryptPKCS1v15(rand.Reader, key, []byte(plain))
	}
	check(err)

	body := []byte(plain[:strings.Index(plain, "|")+1])
	if inner == "raw" {
		body = append(body, sealed...)
	} else {
		body = append(body, base64.StdEncoding.EncodeToString(sealed)...)
	}
	switch outer {
	case "standard":
		fmt.Print(base64.StdEncoding.EncodeToString(body))
	case "url-safe":
		fmt.Print(base64.URLEncoding.EncodeToString(body))
	case "unpadded":
		fmt.Print(base64.RawStdEncoding.EncodeToString(body))
	case "lines":
		for text := base64.StdEncoding.EncodeToString(body); text != ""; {
			end := len(text)
			if end > 76 {
				end = 76
			}
			fmt.Print(text[:end], "\r\n")
			text = text[end:]
		}
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
