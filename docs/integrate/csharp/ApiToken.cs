using System;
using System.IO;
using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;

/// <summary>
/// Makes a chat2llm api_token: what tells chat2llm which of your users is asking. For .NET Framework 4.6, Mono, .NET
/// Core and later.
/// <code>mcs ApiToken.cs; mono ApiToken.exe oa_public.pem oa zhangsan 张三</code>
/// Runs on your own server only. Whoever has this "public" key can make a token for any of your users, so neither the
/// key nor this code goes into a page, an app or a repository that others read.
/// </summary>
public static class ApiToken
{
    // OAEP with SHA-1, the one that every .NET has. OaepSHA256 (32 bytes) is accepted just as well.
    private static readonly RSAEncryptionPadding Padding = RSAEncryptionPadding.OaepSHA1;
    private const int HashBytes = 20;

    // Not \p{C}, which refuses the halves of characters like 𠮷, too.
    private const string Unwanted = @"[|\p{Cc}\p{Cf}\p{Co}\p{Cn}]";

    /// <summary>Returns a token for this user that is made now.</summary>
    /// <exception cref="ArgumentException">for what chat2llm would refuse</exception>
    public static string Make(RSA publicKey, string clientId, string userId, string username = "")
    {
        if (!Regex.IsMatch(clientId, @"\A[A-Za-z0-9_-]{1,32}\z"))
        {
            throw new ArgumentException("client_id must be 1 to 32 letters, digits, _ or -");
        }
        int idBytes = Encoding.UTF8.GetByteCount(userId);
        if (idBytes < 1 || idBytes > 64 || Regex.IsMatch(userId, Unwanted) || userId != userId.Trim())
        {
            throw new ArgumentException(
                "user_id must be 1 to 64 bytes, without |, invisible characters and spaces at its ends");
        }
        if (username.Contains("|"))
        {
            throw new ArgumentException("username must not contain |");
        }

        long seconds = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
        byte[] plain = Encoding.UTF8.GetBytes(string.Join("|", clientId, userId, username, seconds));
        int tooLong = plain.Length - (publicKey.KeySize / 8 - 2 * HashBytes - 2);
        if (tooLong > 0)
        {
            throw new ArgumentException(
                tooLong + " bytes too long for this key: shorten the username or leave it empty");
        }

        string inner = Convert.ToBase64String(publicKey.Encrypt(plain, Padding));
        return Convert.ToBase64String(Encoding.ASCII.GetBytes(clientId + "|" + inner));
    }

    /// <summary>Reads a PEM text (<c>BEGIN PUBLIC KEY</c>); from .NET 5 on <c>rsa.ImportFromPem(pem)</c> does it.</summary>
    public static RSA ReadPublicKey(string pem)
    {
        byte[] der = Convert.FromBase64String(Regex.Replace(pem, @"-----[^-]+-----|\s", ""));
        using (var reader = new BinaryReader(new MemoryStream(der)))
        {
            ReadHeader(reader, 0x30); // SubjectPublicKeyInfo
            reader.ReadBytes(ReadHeader(reader, 0x30)); // which algorithm
            ReadHeader(reader, 0x03); // a bit string: the key
            reader.ReadByte();
            ReadHeader(reader, 0x30); // RSAPublicKey
            var key = RSA.Create();
            key.ImportParameters(new RSAParameters { Modulus = ReadInteger(reader), Exponent = ReadInteger(reader) });
            return key;
        }
    }

    /// <summary>The length of the DER value that comes next.</summary>
    private static int ReadHeader(BinaryReader reader, byte tag)
    {
        if (reader.ReadByte() != tag)
        {
            throw new FormatException("not an RSA public key");
        }
        int length = reader.ReadByte();
        if (length < 0x80)
        {
            return length;
        }
        int bytes = length & 0x7f;
        length = 0;
        while (bytes-- > 0)
        {
            length = length << 8 | reader.ReadByte();
        }
        return length;
    }

    private static byte[] ReadInteger(BinaryReader reader)
    {
        byte[] value = reader.ReadBytes(ReadHeader(reader, 0x02));
        if (value[0] != 0)
        {
            return value;
        }
        byte[] unsigned = new byte[value.Length - 1];
        Array.Copy(value, 1, unsigned, 0, unsigned.Length);
        return unsigned;
    }

    public static int Main(string[] args)
    {
        if (args.Length != 4)
        {
            Console.Error.WriteLine("usage: ApiToken PUBLIC_PEM CLIENT_ID USER_ID USERNAME");
            return 2;
        }
        try
        {
            using (RSA key = ReadPublicKey(File.ReadAllText(args[0])))
            {
                Console.WriteLine(Make(key, args[1], args[2], args[3]));
            }
            return 0;
        }
        catch (Exception error) when (error is ArgumentException || error is FormatException || error is IOException)
        {
            Console.Error.WriteLine(error.Message);
            return 1;
        }
    }
}
