// Makes a chat2llm api_token: what tells chat2llm which of your users is asking.
//
//	go run api_token.go oa_public.pem oa zhangsan 张三
//
// Runs on your own server only. Whoever has this "public" key can make a token for any of your users, so neither the
// key nor this code goes into a page, an app or a repository that others read.
package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"
)

var clientIDForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)
var unwanted = regexp.MustCompile(`\||\pC`)

// MakeAPIToken returns a token for this user that is made now, or an error for what chat2llm would refuse.
func MakeAPIToken(key *rsa.PublicKey, clientID, userID, username string) (string, error) {
	if !clientIDForm.MatchString(clientID) {
		return "", errors.New("client_id must be 1 to 32 letters, digits, _ or -")
	}
	if userID == "" || len(userID) > 64 || unwanted.MatchString(userID) || userID != strings.TrimSpace(userID) {
		return "", errors.New("user_id must be 1 to 64 bytes, without |, invisible characters and spaces at its ends")
	}
	if strings.Contains(username, "|") {
		return "", errors.New("username must not contain |")
	}

	plain := fmt.Sprintf("%s|%s|%s|%d", clientID, userID, username, time.Now().Unix())
	if tooLong := len(plain) - (key.Size() - 2*sha256.Size - 2); tooLong > 0 {
		return "", fmt.Errorf("%d bytes too long for this key: shorten the username or leave it empty", tooLong)
	}

	sealed, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, key, []byte(plain), nil)
	if err != nil {
		return "", err
	}
	inner := base64.StdEncoding.EncodeToString(sealed)
	return base64.StdEncoding.EncodeToString([]byte(clientID + "|" + inner)), nil
}

// ReadPublicKey reads a PEM file (BEGIN PUBLIC KEY).
func ReadPublicKey(path string) (*rsa.PublicKey, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("no public key in %s", path)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	rsaKey, ok := key.(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("no RSA key in %s", path)
	}
	return rsaKey, nil
}

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: api_token PUBLIC_PEM CLIENT_ID USER_ID USERNAME")
		os.Exit(2)
	}
	token, err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(token)
}

func run(pemFile, clientID, userID, username string) (string, error) {
	key, err := ReadPublicKey(pemFile)
	if err != nil {
		return "", err
	}
	return MakeAPIToken(key, clientID, userID, username)
}
