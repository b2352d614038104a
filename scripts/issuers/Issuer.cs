using System;
using System.IO;
using System.Linq;
using System.Security.Cryptography;
using System.Text;

/// <summary>One golden token (see ../make_token_vectors.py): Issuer PEM PADDING raw|base64 OUTER PLAIN.</summary>
public static class Issuer
{
    public static void Main(string[] args)
    {
        string padding = args[1], plain = args[4];
        byte[] cipherText;
        using (RSA key = ApiToken.ReadPublicKey(File.ReadAllText(args[0])))
        {
            cipherText = key.Encrypt(Encoding.UTF8.GetBytes(plain), Named(padding));
        }
        byte[] head = Encoding.ASCII.GetBytes(plain.Substring(0, plain.IndexOf('|') + 1));
        byte[] inner = args[2] == "raw" ? cipherText : Encoding.ASCII.GetBytes(Convert.ToBase64String(cipherText));
        byte[] body = head.Concat(inner).ToArray();
        string text = Convert.ToBase64String(body);
        switch (args[3])
        {
            case "url-safe": text = text.Replace('+', '-').Replace('/', '_'); break;
            case "unpadded": text = text.TrimEnd('='); break;
            case "lines": text = Convert.ToBase64String(body, Base64FormattingOptions.InsertLineBreaks); break;
        }
        Console.Write(text);
    }

    private static RSAEncryptionPadding Named(string padding)
    {
        switch (padding)
        {
            case "RSAEncryptionPadding.OaepSHA1": return RSAEncryptionPadding.OaepSHA1;
            case "RSAEncryptionPadding.OaepSHA256": return RSAEncryptionPadding.OaepSHA256;
            case "RSAEncryptionPadding.Pkcs1": return RSAEncryptionPadding.Pkcs1;
            default: throw new ArgumentException(padding);
        }
    }
}
